#!/usr/bin/env bash
# Runs the comparison of benches/gate, which prints its medians and writes docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/.."

run=benches/gate/run.sh
if [ ! -x "$run" ]; then
  echo "bench: $run is missing or not executable; nothing was measured" >&2
  exit 1
fi
exec "$run" "$@"
