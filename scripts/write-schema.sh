#!/usr/bin/env bash
# Writes schema/policy.schema.json from the types that read a policy. A test fails while it differs from them.
set -euo pipefail
cd "$(dirname "$0")/.."

out=schema/policy.schema.json
mkdir -p schema
new=$(mktemp "$out.XXXXXX")
trap 'rm -f "$new"' EXIT
cargo run --quiet -- schema >"$new"
if ! grep -q '"[$]schema"' "$new"; then
  echo "write-schema: \`toolgate schema\` printed no JSON Schema; $out is left as it was" >&2
  exit 1
fi
chmod 644 "$new"
if cmp -s "$new" "$out"; then
  echo "$out is up to date"
else
  mv "$new" "$out"
  echo "$out is written anew"
fi
