#!/usr/bin/env bash
# Measures the transformer and the text encoders on one GPU, all in one run of about six minutes:
#
#     bench/transformer_table.sh [PROGRAM [PYTHON]]
#
# A block beside its matrix work and the release's block, all blocks, the encoders, a guided step, loading 58.7 GB from
# the page cache, how soon a stop is obeyed, and the demo model. PYTHON has PyTorch [python3]; the checkpoint is written
# into SCRATCH [/dev/shm/stepvideo-bench] and removed.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-build/stepvideo}
python=${2:-python3}
scratch=${SCRATCH:-/dev/shm/stepvideo-bench}
mkdir -p "$scratch"
trap 'rm -rf "$scratch"' EXIT

section() { printf '\n== %s\n' "$*"; }
seconds() { date +%s.%N; }
elapsed() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.2f s", b - a }'; }

section 'a block, all blocks'
"$program" bench transformer --layers 48 --matrix-seconds 10 --pytorch "$python"

section 'both encoders'
"$program" bench encoders

section 'text states, two guided steps of the whole transformer'
"$program" encode-text --weights random:1 --device cuda --precision bf16 \
  --prompt 'a lighthouse on a cliff at dusk, waves break below, the camera rises slowly' \
  --output "$scratch/states.safetensors" --quiet
begin=$(seconds)
"$program" denoise --weights random:1 --conditioning "$scratch/states.safetensors" --steps 2 --seed 5 --device cuda \
  --precision bf16 --output "$scratch/latents.safetensors"
echo "process: $(elapsed "$begin")"

section 'a stop in the middle of a step'
for wait in 12 20; do
  "$program" denoise --weights random:1 --conditioning "$scratch/states.safetensors" --steps 50 --seed 5 --device cuda \
    --precision bf16 --output "$scratch/stopped.safetensors" >"$scratch/log" 2>&1 &
  sleep "$wait"
  begin=$(seconds)
  kill -TERM $!
  code=0
  wait $! || code=$?
  echo "SIGTERM after $wait s: exit $code after $(elapsed "$begin"); $(tail -n 1 "$scratch/log")"
done

section 'loading the transformer from the page cache'
"$python" bench/write_transformer_checkpoint.py "$scratch/model"
for time in first second third; do
  echo "the $time time after it was written:"
  "$program" denoise --model "$scratch/model" --conditioning "$scratch/states.safetensors" --frames 17 --height 544 \
    --width 992 --steps 1 --device cuda --precision bf16 --output "$scratch/short.safetensors" 2>&1 | grep -E 'load|step'
done

section 'the demo model: 100, then 400 guided steps'
"$program" encode-text --model models/demo --device cuda --precision bf16 --prompt 'a red circle moves to the right' \
  --output "$scratch/demo.safetensors" --quiet
for steps in 100 400; do
  "$program" denoise --model models/demo --conditioning "$scratch/demo.safetensors" --steps $steps --device cuda \
    --precision bf16 --output "$scratch/demo-latents.safetensors" --overwrite 2>&1 | grep -E 'denoise|step' | tail -n 3
done
