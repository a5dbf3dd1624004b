#!/usr/bin/env bash
# From a fresh clone to a video: installs what is missing, builds the program for the CPU, generates one clip.
#     scripts/demo.sh ["a prompt"] [output.mp4]
set -euo pipefail
cd "$(dirname "$0")/.."

prompt=${1:-"a red circle moves to the right on a black background"}
output=${2:-build/demo/demo.mp4}

scripts/install-dependencies.sh
# The demo runs on the CPU: the CUDA part and the tests would only add to the wait.
cmake -S . -B build/demo -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DSTEPVIDEO_CUDA=OFF -DSTEPVIDEO_TESTS=OFF -DSTEPVIDEO_BENCH=OFF
cmake --build build/demo

# Threads that spin for a core another program holds would slow a busy machine down several times.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
build/demo/stepvideo generate --model models/demo --prompt "$prompt" --output "$output"
echo "wrote $output"
