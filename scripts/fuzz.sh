#!/usr/bin/env bash
# Runs the fuzz targets (cargo-fuzz, libFuzzer), keeps what they found in fuzz/corpus/ and adds a row for each to
# docs/fuzzing.md. Stops at the first input that breaks something, and says how to look at it.
#   MINUTES=10   for each target
#   TARGETS='…'  all where left out
#   SANITIZER=   none (default: as fast as can be; the code is free of `unsafe`), leak or address
set -euo pipefail
cd "$(dirname "$0")/.."

MINUTES=${MINUTES:-10}
TARGETS=${TARGETS:-decide envelope headers list_filter policy_document sse}
SANITIZER=${SANITIZER:-none}
# Any nightly will do; where there is none, this one is installed.
PINNED=nightly-2026-05-20
CARGO_FUZZ=0.13.2

fail() {
  printf 'fuzz: %s\n' "$*" >&2
  exit 1
}

toolchain=nightly
if ! cargo +nightly --version >/dev/null 2>&1; then
  toolchain=$PINNED
  cargo "+$PINNED" --version >/dev/null 2>&1 ||
    rustup toolchain install "$PINNED" --profile minimal ||
    fail "a nightly toolchain is needed: \`rustup toolchain install $PINNED\`"
fi
command -v c++ >/dev/null || fail "a C++ compiler is needed to build libFuzzer: install g++ or clang"
command -v python3 >/dev/null || fail "python3 is needed: run \`make test-deps\`"
if [ "$(cargo-fuzz --version 2>/dev/null || true)" != "cargo-fuzz $CARGO_FUZZ" ]; then
  PATH="$PWD/.tools/cargo-fuzz/bin:$PATH"
  if [ "$(cargo-fuzz --version 2>/dev/null || true)" != "cargo-fuzz $CARGO_FUZZ" ]; then
    printf '==> building cargo-fuzz %s into .tools/ (once)\n' "$CARGO_FUZZ"
    cargo install cargo-fuzz --locked --version "$CARGO_FUZZ" --root .tools/cargo-fuzz
  fi
fi

host=$(rustc "+$toolchain" --print host-tuple)
echo "==> building the targets (sanitizer: $SANITIZER)"
nice cargo "+$toolchain" fuzz build --sanitizer "$SANITIZER"
mkdir -p fuzz/artifacts

for target in $TARGETS; do
  echo "==> $target, $MINUTES minutes"
  work=fuzz/work/$target
  log=fuzz/work/$target.log
  binary=fuzz/target/$host/release/$target
  rm -rf "$work.min"
  python3 fuzz/corpus.py unpack "$target" "$work"
  length=$(python3 fuzz/corpus.py max-len "$target")
  case $target in
    policy_document) words=policies counters=0 ;;
    sse) words=streams counters=1 ;;
    *) words=messages counters=0 ;;
  esac
  nice -n 15 "$binary" "$work" "-dict=fuzz/dictionaries/$words.dict" "-max_total_time=$((MINUTES * 60))" "-max_len=$length" \
    -timeout=5 -rss_limit_mb=2048 -artifact_prefix="fuzz/artifacts/$target-" -print_final_stats=1 2>"$log" ||
    fail "$target broke: read $log; run \`$binary fuzz/artifacts/$target-…\` for the input alone"
  mkdir -p "$work.min"
  # By edges alone: how often each was passed would keep ten times as much, and git has to carry it. Streams are
  # small, and a loop over lines has few edges.
  nice -n 15 "$binary" -merge=1 "-use_counters=$counters" "-max_len=$length" "$work.min" "$work" 2>"$log.merge"
  kept=$(python3 fuzz/corpus.py pack "$target" "$work.min")
  echo "$kept"
  inputs=$(awk '/number_of_executed_units/ { print $2 }' "$log")
  edges=$(awk '/ cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) } END { print edges }' "$log")
  printf '| %s | `%s` | %s | %s | %s | %s | %s |\n' "$(date -u +%F)" "$target" "$SANITIZER" "$MINUTES" "$inputs" "$edges" \
    "$(echo "$kept" | sed -E 's/.*: ([0-9]+) inputs.*/\1/')" | tee -a docs/fuzzing.md
done
