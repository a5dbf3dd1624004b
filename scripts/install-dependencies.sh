#!/usr/bin/env bash
# Installs what the build needs and this machine lacks (Debian 12, Ubuntu 24.04; needs root or sudo).
# With --tests also what the tests need.
set -euo pipefail

packages=(cmake ninja-build g++ pkg-config
  libboost-program-options-dev nlohmann-json3-dev libfmt-dev libspdlog-dev libopenblas-dev libssl-dev
  libavformat-dev libavcodec-dev libavutil-dev libswscale-dev libavfilter-dev libsentencepiece-dev libicu-dev)
if [ "${1:-}" = "--tests" ]; then
  packages+=(libboost-test-dev ffmpeg libopenmpi-dev openmpi-bin clang libomp-dev python3-numpy python3-venv)
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "these packages are missing and this user is not root: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" \
  </dev/null >/dev/null
