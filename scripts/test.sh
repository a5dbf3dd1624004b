#!/usr/bin/env bash
# From a fresh clone to the test runner's summary: installs what is missing, builds everything, runs the tests.
# Where nvcc is found the CUDA part is built too; without a GPU its tests report themselves skipped.
#     scripts/test.sh [CMake options, such as -DSTEPVIDEO_CUDA=OFF]
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-dependencies.sh --tests
cmake -S . -B build/test -G Ninja -DCMAKE_BUILD_TYPE=Release "$@"
cmake --build build/test
# Threads that spin for a core another program holds would slow a busy machine down several times.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
ctest --test-dir build/test --output-on-failure --parallel "$(nproc)"
