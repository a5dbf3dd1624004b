#!/usr/bin/env bash
# Measures one video on all of a host's GPUs, in one call: links, guided steps by topology beside one GPU's, the
# decode, replicas, and how soon a lost rank ends a run. Options: bench/scaling.py --help.
set -euo pipefail
exec python3 "$(dirname "$0")/scaling.py" "$@"
