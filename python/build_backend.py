"""Builds the wheel, with the standard library alone: the package and libstepvideo_c.so, tagged py3-none-PLATFORM, since it
works with every Python.

    pip install ./python                       # builds the library first, with CMake; with CUDA where nvcc is found, for
                                               # this machine's GPU
    python3 build_backend.py LIBRARY FOLDER    # puts a library that is built into a wheel in FOLDER
"""
import base64
import hashlib
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _version():
    return re.search(r'^version = "(.*)"$', (_HERE / "pyproject.toml").read_text(), re.MULTILINE)[1]


def _description():
    return re.search(r'^description = "(.*)"$', (_HERE / "pyproject.toml").read_text(), re.MULTILINE)[1]


def write_wheel(library, folder):
    """Writes the wheel into `folder` and returns its name."""
    machine = re.sub(r"[-.]", "_", sysconfig.get_platform())
    tag, name = f"py3-none-{machine}", f"stepvideo-{_version()}"
    information = f"{name}.dist-info"
    files = {f"stepvideo/{path.name}": path.read_bytes() for path in sorted((_HERE / "stepvideo").glob("*.py"))}
    files["stepvideo/libstepvideo_c.so"] = Path(library).read_bytes()
    files[f"{information}/METADATA"] = (f"Metadata-Version: 2.1\nName: stepvideo\nVersion: {_version()}\n"
                                        f"Summary: {_description()}\nLicense: Apache-2.0\n"
                                        "Requires-Python: >=3.8\n").encode()
    files[f"{information}/WHEEL"] = ("Wheel-Version: 1.0\nGenerator: stepvideo\nRoot-Is-Purelib: false\n"
                                     f"Tag: {tag}\n").encode()
    record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items())
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    wheel = f"{name}-{tag}.whl"
    partial = Path(folder) / f".{wheel}.partial"
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)  # of 1980: the same wheel each time
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    partial.replace(Path(folder) / wheel)
    return wheel


def _digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """What pip calls. STEPVIDEO_LIBRARY names a library that is built already."""
    library = os.environ.get("STEPVIDEO_LIBRARY")
    if library:
        return write_wheel(library, wheel_directory)
    with tempfile.TemporaryDirectory() as build:
        options = [f"-DSTEPVIDEO_{part}=OFF" for part in ("EXECUTOR", "TESTS", "BENCH", "INSTALL")]
        if platform.machine() == "x86_64":  # wheels go to other machines
            options += ["-DSTEPVIDEO_NATIVE=OFF", "-DCMAKE_CXX_FLAGS=-march=x86-64-v3"]
        subprocess.run(["cmake", "-S", str(_HERE.parent), "-B", build, "-DCMAKE_BUILD_TYPE=Release", *options], check=True)
        subprocess.run(["cmake", "--build", build, "--target", "stepvideo_c", "--parallel", str(os.cpu_count() or 1)], check=True)
        return write_wheel(Path(build) / "c" / "libstepvideo_c.so", wheel_directory)


if __name__ == "__main__":
    if len(sys.argv) != 3 or not Path(sys.argv[1]).is_file() or not Path(sys.argv[2]).is_dir():
        sys.exit(f"usage: {sys.argv[0]} LIBRARY FOLDER")
    print(write_wheel(sys.argv[1], sys.argv[2]))
