#!/usr/bin/env bash
# From a fresh clone to a video: installs what is missing, builds the program, generates one clip; on the GPU where nvcc and a
# GPU are found, else on the CPU, and says so.
#     scripts/demo.sh ["a prompt"] [output.mp4]
set -euo pipefail
cd "$(dirname "$0")/.."

prompt=${1:-"a red circle moves to the right on a black background"}
output=${2:-build/demo/demo.mp4}

scripts/install-dependencies.sh
# Without a GPU the CUDA part would only add to the wait, as the tests would.
cuda=OFF
if { command -v nvcc || [ -x /usr/local/cuda/bin/nvcc ]; } >/dev/null && nvidia-smi -L >/dev/null 2>&1; then cuda=ON; fi
echo "this demo runs on the $([ $cuda = ON ] && echo "GPU: $(nvidia-smi -L | head -1)" || echo "CPU: nvcc or a GPU is not found")"
cmake -S . -B build/demo -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DSTEPVIDEO_CUDA=$cuda -DSTEPVIDEO_TESTS=OFF -DSTEPVIDEO_BENCH=OFF
cmake --build build/demo

# Threads that spin for a core another program holds would slow a busy machine down several times.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
build/demo/stepvideo generate --model models/demo --prompt "$prompt" --output "$output"
echo "wrote $output"
