"""The Python in docs/python.md, which is this program's argument, runs as printed and prints True."""
import contextlib
import io
import re
import sys
from pathlib import Path

try:
    import numpy  # noqa: F401, the example's
except ImportError:
    print("skipped: this Python has no numpy")
    sys.exit(77)

examples = re.findall(r"^```python\n(.*?)^```", Path(sys.argv[1]).read_text(), re.MULTILINE | re.DOTALL)
assert examples, "the document has no example"
for example in examples:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example, {})
    assert printed.getvalue() == "True\n", printed.getvalue()
