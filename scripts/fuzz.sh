#!/usr/bin/env bash
# Builds the fuzz targets with clang's libFuzzer and runs each for SECONDS (300 unless given), two at a time, from
# the corpus in tests/data/fuzz: the long run before a release. What it finds lies in build/fuzz/found; a finding
# that is mended goes into the corpus as found_WHAT. The targets to run may follow: scripts/fuzz.sh 60 pickle config
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-300}
shift || true
command -v clang++ >/dev/null || { echo "clang++ is missing; apt-get install clang libomp-dev" >&2; exit 1; }
scripts/install-dependencies.sh --tests
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz

build=build/fuzz
mkdir -p $build/found $build/logs
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/*_target.cpp; do
    name=$(basename "$source" _target.cpp)
    targets+=("$name")
  done
fi

run() {
  local name=$1 status=0
  mkdir -p "$build/grown/$name"
  OMP_NUM_THREADS=1 "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -malloc_limit_mb=1024 -max_len=65536 -print_final_stats=1 -close_fd_mask=1 \
    -artifact_prefix="$build/found/$name-" "$build/grown/$name" "tests/data/fuzz/$name" \
    >"$build/logs/$name" 2>&1 || status=$?
  local runs
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/logs/$name")
  if [ "$status" -eq 0 ]; then
    echo "$name: $runs executions, nothing found"
  else
    echo "$name: FOUND something after ${runs:-some} executions; see $build/logs/$name"
    return 1
  fi
}
export -f run
export build seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'run {}'
