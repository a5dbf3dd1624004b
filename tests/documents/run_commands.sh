#!/usr/bin/env bash
# Runs the commands of documents as printed, in their order, in a folder that looks like a clone where scripts/demo.sh
# has built the program:
#     tests/documents/run_commands.sh SOURCE PROGRAM LEAST DOCUMENT...
# A command is a line of a block of ```sh, or a line behind "$ " in any other block. It must exit 0, or as its comment
# says: "# exit 130", "# exit 0, or 1 after a surprise". It is passed over where its comment says what it needs: "needs a
# GPU", "needs the checkpoint", "needs PyTorch", "needs torchrun", "needs Slurm", "needs mpirun", "needs nvcc", "takes
# minutes". In a block of ```console every line behind a command, but "...", is a line of its output. Of commands within
# a sentence, `stepvideo COMMAND --flag`, the flags are looked up. Fewer than LEAST commands are a failure.
set -uo pipefail

source=$(realpath "$1") program=$(realpath "$2") least=$3
shift 3
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/clone/build/demo "$root"/clone/scripts "$root"/shims "$root"/home
ln -s "$program" "$root"/clone/build/demo/stepvideo
for folder in bench examples include models tests tools; do ln -s "$source/$folder" "$root/clone/$folder"; done
cp "$source/scripts/demo.sh" "$root/clone/scripts"
# What demo.sh installs and builds is there.
printf '#!/bin/sh\n' | tee "$root"/clone/scripts/install-dependencies.sh >"$root"/shims/cmake
chmod +x "$root"/clone/scripts/*.sh "$root"/shims/cmake
export PATH=$root/shims:$PATH OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} TMPDIR=$root
cd "$root/clone" || exit 1

ran=0 passed_over=0 failures=0
fail() {
  failures=$((failures + 1))
  printf 'FAILED: %s: %s\n' "$1" "$2"
  tail -n 20 "$root/output" 2>/dev/null | sed 's/^/    /'
}

# run PLACE COMMAND: in this shell, so that what it sets stays.
run() {
  local place=$1 command=$2 allowed=0 status
  if grep -qE '# .*(needs (a GPU|the checkpoint|PyTorch|torchrun|Slurm|mpirun|nvcc)|takes minutes)' <<<"$command"; then
    passed_over=$((passed_over + 1))
    return
  fi
  ran=$((ran + 1))
  if [[ $command =~ \#.*exit\ ([0-9]+)(,\ or\ ([0-9]+))? ]]; then allowed="${BASH_REMATCH[1]} ${BASH_REMATCH[3]}"; fi
  eval "$command" >"$root/output" 2>&1 </dev/null
  status=$?
  [[ " $allowed " == *" $status "* ]] || fail "$place" "exit $status of: $command"
}

# Lines "PLACE<tab>KIND<tab>TEXT": a command of the document, or a line that its output must hold.
extract() {
  awk -v name="$2" '
    function say(kind, text) { printf "%s:%d\t%s\t%s\n", name, NR, kind, text }
    /^```/ { inside = !inside; kind = substr($0, 4); command = ""; next }
    !inside { next }
    kind == "sh" {
      if ($0 ~ /^ *(#|$)/) next
      command = command $0
      if (sub(/\\$/, "", command)) next
      say("command", command)
      command = ""
      next
    }
    /^\$ / { say("command", substr($0, 3)); next }
    kind == "console" && $0 != "..." && $0 != "" { say("output", $0) }
  ' "$1"
}

# The flags of commands within sentences are flags of these commands.
look_up() {
  local span words command flag known
  while read -r span; do
    read -ra words <<<"${span//\`/}"
    command=("${words[1]:-}")
    [[ ${command[0]} =~ ^[a-z-]+$ ]] || continue
    if [ "${command[0]}" = bench ] && [[ ${words[2]:-} =~ ^[a-z]+$ ]]; then command+=("${words[2]}"); fi
    known=$("$program" "${command[@]}" --help completion 2>&1) || { fail "$2" "no command: $span"; continue; }
    for flag in "${words[@]}"; do
      [[ $flag =~ ^(--[a-z-]+) ]] || continue
      [[ ${BASH_REMATCH[1]} == --help ]] || grep -qE -- "^${BASH_REMATCH[1]}( |\$)" <<<"$known" ||
        fail "$2" "${command[*]} has no ${BASH_REMATCH[1]}: $span"
    done
  done < <(tr '\n' ' ' <"$1" | grep -oE '`stepvideo [^`]*`')
}

for document in "$@"; do
  while IFS=$'\t' read -r place kind text <&3; do
    case $kind in
      command) run "$place" "$text" ;;
      output) grep -qFx -- "$text" "$root/output" || fail "$place" "the output has no line: $text" ;;
    esac
  done 3< <(extract "$source/$document" "$document")
  : >"$root/output"
  look_up "$source/$document" "$document"
done
printf '%d commands ran, %d were passed over, %d failures\n' "$ran" "$passed_over" "$failures"
if [ "$ran" -lt "$least" ]; then
  printf 'FAILED: at least %d commands were expected\n' "$least"
  exit 1
fi
[ "$failures" -eq 0 ]
