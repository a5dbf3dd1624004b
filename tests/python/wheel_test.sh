#!/usr/bin/env bash
# wheel_test.sh PYTHON SOURCE LIBRARY VERSION: a wheel with the library is the same each time, installs into an environment
# of its own without a network, by itself and from the source's folder, and works there.
set -euo pipefail
python=$1 source=$2 library=$3 version=$4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH
export PYTHONDONTWRITEBYTECODE=1

"$python" -c 'import numpy' 2>/dev/null || { echo "skipped: this Python has no numpy"; exit 77; }
mkdir "$scratch"/first "$scratch"/second
wheel=$("$python" "$source"/python/build_backend.py "$library" "$scratch"/first)
"$python" "$source"/python/build_backend.py "$library" "$scratch"/second >/dev/null
cmp "$scratch"/first/"$wheel" "$scratch"/second/"$wheel"
[[ $wheel == stepvideo-$version-py3-none-*.whl && $wheel != *any.whl ]] || { echo "the wheel is called $wheel"; exit 1; }

"$python" -m venv --system-site-packages "$scratch"/environment >"$scratch"/log 2>&1 || {
  echo "skipped: this Python makes no environments with pip (on Debian: apt-get install python3-venv)"
  exit 77
}
cd "$scratch"  # the package in the source is not found from here
pip=("$scratch"/environment/bin/python -m pip install --quiet --no-index --no-deps --disable-pip-version-check)
try() {
  "$scratch"/environment/bin/python - "$version" <<'END'
import sys

import numpy
import stepvideo

assert "environment" in stepvideo.__file__, stepvideo.__file__
assert stepvideo.__version__ == sys.argv[1], stepvideo.__version__
rows = numpy.array([[3, 4, 0, 0]], dtype=numpy.float32)
out = stepvideo.rms_norm(rows, numpy.ones(4, dtype=numpy.float32), epsilon=0.0)
assert abs(out - rows / 2.5).max() < 1e-6, out
END
}
"${pip[@]}" "$scratch"/first/"$wheel"
try
STEPVIDEO_LIBRARY=$library "${pip[@]}" --force-reinstall --no-build-isolation "$source"/python
try
