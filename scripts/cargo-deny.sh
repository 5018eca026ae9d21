#!/usr/bin/env bash
# Runs cargo-deny with the arguments given. The version is pinned, so that a check means the same everywhere;
# where it is missing it is built into .tools/ (some minutes, once).
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=0.20.2

is_pinned() { [ "$("$1" --version 2>/dev/null || true)" = "cargo-deny $VERSION" ]; }

deny=.tools/cargo-deny/bin/cargo-deny
if is_pinned cargo-deny; then
  deny=cargo-deny
elif ! is_pinned "$deny"; then
  printf '==> building cargo-deny %s into .tools/ (once)\n' "$VERSION"
  cargo install cargo-deny --locked --version "$VERSION" --root .tools/cargo-deny
fi
exec "$deny" "$@"
