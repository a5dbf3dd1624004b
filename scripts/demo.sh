#!/usr/bin/env bash
# From a fresh clone to a video: installs what is missing, builds the program, generates one clip; on the GPU where nvcc and a
# GPU are found, else on the CPU, and says so.
#     scripts/demo.sh ["a prompt"] [output.mp4]
set -euo pipefail
cd "$(dirname "$0")/.."

prompt=${1:-"a red circle moves to the right on a black background"}
output=${2:-build/demo/demo.mp4}
replace=$([ $# -lt 2 ] && echo --overwrite || true) # the demo's own, of another prompt

scripts/install-dependencies.sh
# Without a GPU the CUDA part would only add to the wait, as the tests would.
cuda=OFF
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if "$nvcc" --version 2>/dev/null | grep -q 'release 1[3-9]' &&
  nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | grep -qE '^([89]|1[0-9])\.'; then cuda=ON; fi
echo "this demo is built for the $([ $cuda = ON ] && echo "GPU: $(nvidia-smi -L | head -1)" || echo "CPU: nvcc 13 or a GPU of compute capability 8.0 is not found")"
cmake -S . -B build/demo -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DSTEPVIDEO_CUDA=$cuda -DSTEPVIDEO_TESTS=OFF -DSTEPVIDEO_BENCH=OFF
cmake --build build/demo

# Threads that spin for a core another program holds would slow a busy machine down several times.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
build/demo/stepvideo generate --model models/demo --prompt "$prompt" --output "$output" $replace
echo "wrote $output"
