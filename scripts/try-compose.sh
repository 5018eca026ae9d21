#!/usr/bin/env bash
# Brings docker-compose.yml up for real and holds it to what it says: of 60 calls through the one address exactly ten are
# admitted, whichever of the three replicas each one meets; Prometheus sees all three and has the rules; at the end every process
# ends with 0. Grafana is left out. With a Docker daemon it is used as it is, else podman (containers-without-docker.sh). What was
# started is ended and removed. The ports 8080 and 9090 of loopback must be free.
set -euo pipefail
cd "$(dirname "$0")/.."

SERVICES=(gate balancer redis server prometheus)
PROXY=http://127.0.0.1:8080
PROMETHEUS=http://127.0.0.1:9090
TOKEN=example-token-for-loopback-only
STARTED=$SECONDS

say() { printf '==> try-compose: %s\n' "$*"; }
fail() {
  printf 'try-compose: %s\n' "$*" >&2
  exit 1
}

work=$(mktemp -d)
podman=
clean_up() {
  local status=$?
  trap - EXIT INT TERM
  if [ ${#compose[@]} -gt 0 ]; then
    [ $status -eq 0 ] || "${compose[@]}" logs --no-color --tail 5 >&2 || true
    "${compose[@]}" down --volumes --timeout 20 >"$work/down.log" 2>&1 || { cat "$work/down.log" >&2; status=1; }
  fi
  if [ -n "$podman" ]; then
    exec {to_podman}>&-
    wait "$podman" || true
    # what a run that was broken off left mounted
    grep -o " $work/[^ ]*" /proc/mounts | sort -r | xargs -r umount 2>/dev/null || true
  fi
  rm -rf "$work"
  exit $status
}
compose=()
trap clean_up EXIT
trap 'exit 130' INT TERM

# json URL PATH…: a value of what is answered there.
json() {
  curl -fsS --max-time 10 "$1" | python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[int(key) if key.isdigit() else key]
print(value)' "${@:2}"
}
# query PROMQL: the one value of it, rounded.
query() { json "$PROMETHEUS/api/v1/query?query=$(python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1]))' "$1")" data result 0 value 1; }
# until_is WHAT WANTED COMMAND…: waits for an output.
until_is() {
  local what=$1 wanted=$2 seen=
  shift 2
  for _ in $(seq 120); do
    seen=$("$@" 2>/dev/null || true)
    [ "$seen" = "$wanted" ] && return
    sleep 0.5
  done
  fail "$what: wanted $wanted, saw \`$seen\`"
}

# ask METHOD PARAMS: the answer, in one write of one line.
ask() {
  local answer
  answer=$(curl -sS --max-time 30 "$PROXY/mcp" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
    -H 'Accept: application/json, text/event-stream' -d "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":$2}")
  printf '%s\n' "$answer"
}
# How many of twelve requests for the list of tools bring one: the balancer leads four to each replica.
lists() { for _ in $(seq 12); do ask tools/list '{}'; done | grep -c '"name":"start_run"'; }

for port in 8080 9090; do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && fail "something listens on 127.0.0.1:$port: stop it first"
done
build=(--build)
if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
  say "with $(docker version --format 'Docker {{.Server.Version}}')"
  command=(docker compose)
else
  scripts/check-containers.sh >/dev/null
  mkfifo "$work/stdin"
  say "without a Docker daemon: building images for podman"
  scripts/containers-without-docker.sh "$work" <"$work/stdin" >"$work/said" 2>"$work/podman.log" &
  podman=$!
  exec {to_podman}>"$work/stdin"
  until grep -q listening "$work/said"; do
    kill -0 $podman 2>/dev/null || { cat "$work/podman.log" >&2; fail "podman is not there"; }
    sleep 0.5
  done
  export DOCKER_HOST=unix://$work/docker.sock
  command=(.tools/containers/bin/docker-compose)
  build=(--no-build)
fi
# a project of its own: one that is up already stays
compose=("${command[@]}" --file docker-compose.yml --project-name toolgate-try)
say "starting ${SERVICES[*]}"
"${compose[@]}" up --detach "${build[@]}" "${SERVICES[@]}" >"$work/up.log" 2>&1 || { cat "$work/up.log" >&2; fail "they do not start"; }
until_is "lists of tools through the one address" 12 lists

say "60 calls at once"
export -f ask
export PROXY TOKEN
seq 60 | xargs -P 60 -I{} bash -c "ask tools/call '{\"name\":\"start_run\",\"arguments\":{\"pipeline\":\"nightly\"}}'" >"$work/answers"
admitted=$(grep -c '"run [0-9]* started"' "$work/answers" || true)
limited=$(grep -c '"outcome":"limited"' "$work/answers" || true)
[ "$admitted $limited" = "10 50" ] || fail "of 60 calls $admitted were admitted and $limited limited, not 10 and 50"

say "Prometheus"
calls='toolgate_decisions_total{tool="start_run",mode="enforce"}'
until_is "replicas that Prometheus sees" 3 query 'count(up{job="toolgate"} == 1)'
until_is "admitted calls that Prometheus sees" 10 query "sum(${calls/\}/,outcome=\"allowed\"\}})"
until_is "limited calls that Prometheus sees" 50 query "sum(${calls/\}/,outcome=\"limited\"\}})"
until_is "replicas that took calls" 3 query "count(sum by (instance) ($calls) > 0)"
until_is "the first rule" ToolgateStoreUnavailable json "$PROMETHEUS/api/v1/rules" data groups 0 rules 0 name

say "the end"
"${compose[@]}" stop --timeout 20 >"$work/stop.log" 2>&1 || { cat "$work/stop.log" >&2; fail "they do not stop"; }
ends=$("${compose[@]}" ps --all --format '{{.Service}} {{.State}} {{.ExitCode}}' | sort | uniq -c | awk '{ print $2, $3, $4, "x" $1 }')
wanted=$(printf '%s exited 0 x1\n' balancer prometheus redis server; echo "gate exited 0 x3")
[ "$(sort <<<"$ends")" = "$(sort <<<"$wanted")" ] || fail "not every process ended with 0: $ends"
say "ok: 10 of 60 calls admitted by three replicas, all seen by Prometheus, every process ended with 0 ($((SECONDS - STARTED)) s)"
