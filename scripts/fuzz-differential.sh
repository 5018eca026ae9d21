#!/usr/bin/env bash
# Compares what toolgate judged with what Python, Node and serde_json read, for MINUTES (10), with bodies from SEED (the
# day, where left out). Adds a row to docs/fuzzing.md; the first body that is read otherwise ends the run and is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

node=node
if [ -x .tools/node/node_modules/node/bin/node ]; then node=.tools/node/node_modules/node/bin/node; fi
report=$(nice cargo run --quiet --release --locked --manifest-path fuzz/Cargo.toml --example differential -- \
  "${MINUTES:-10}" "${SEED:-$(date -u +%Y%m%d)}" .tools/mcp-2/bin/python "$node")
printf '%s\n' "$report"
row="| $(date -u +%F) $(tail -n 1 <<<"$report")"
python3 - "$row" <<'END'
import pathlib, sys
page = pathlib.Path("docs/fuzzing.md")
head, mark, rest = page.read_text("utf-8").partition("<!-- differential runs end here -->")
page.write_text(head + sys.argv[1] + "\n" + mark + rest, "utf-8")
END
