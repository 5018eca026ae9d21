#!/usr/bin/env bash
# Serves Docker's API from podman, for a machine without a Docker daemon and without a registry of images:
#
#   scripts/containers-without-docker.sh FOLDER
#
# prints `listening` once FOLDER/docker.sock answers, and ends with its stdin. FOLDER holds everything that podman keeps. The
# images that docker-compose.yml names are made here: the gate from a static build of this tree, as in the Dockerfile; Redis, nginx
# and Prometheus each from the distribution's program and the libraries that it needs. GATE=PATH takes a static binary as it is.
# Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath "${1:?usage: containers-without-docker.sh FOLDER}")

PACKAGES=(podman netavark aardvark-dns runc iptables redis-server nginx-light prometheus)
fail() {
  printf 'containers-without-docker: %s\n' "$*" >&2
  exit 1
}

install_packages() {
  local missing=() package
  for package in "${PACKAGES[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  printf '==> installing %s\n' "${missing[*]}" >&2
  # RUNLEVEL=1 keeps the packages from starting services.
  local run=(env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq)
  "${run[@]}" update >/dev/null
  "${run[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Podman's own files in FOLDER: nothing of the machine's is read or changed.
configure() {
  mkdir -p "$folder"/{graph,run,tmp,networks}
  cat >"$folder/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$folder/tmp"
[network]
network_backend = "netavark"
network_config_dir = "$folder/networks"
CONF
  cat >"$folder/storage.conf" <<CONF
[storage]
driver = "vfs"
graphroot = "$folder/graph"
runroot = "$folder/run"
CONF
  export CONTAINERS_CONF=$folder/containers.conf CONTAINERS_STORAGE_CONF=$folder/storage.conf
}

static_gate() {
  if [ -n "${GATE:-}" ]; then
    echo "$GATE"
    return
  fi
  local host
  host=$(rustc --print host-tuple)
  RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$host" --target-dir target/static --bin toolgate >&2
  echo "target/static/$host/release/toolgate"
}

# program CONTEXT PATH: a program, and the libraries that it is linked with.
program() {
  local context=$1 path=$2 library
  install -D -m 0755 "$path" "$context/usr/bin/$(basename "$path")"
  ldd "$path" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
    install -D -m 0755 "$library" "$context$library"
  done || true
}

# image NAME FOLDER CHANGE…: the folder's files with their owners, and instructions of a Dockerfile.
image() {
  local name=$1 root=$2 change changes=()
  shift 2
  for change in "$@"; do changes+=(--change "$change"); done
  tar -C "$root" -c . | podman import --quiet "${changes[@]}" - "$name" >/dev/null
  rm -rf "$root"
}

make_images() {
  local made=$folder/made instructions
  install -D -m 0755 "$(static_gate)" "$made/gate/toolgate"
  install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$made/gate/etc/ssl/certs/ca-certificates.crt"
  # what the Dockerfile says of its last stage, which adds the same two files
  mapfile -t instructions < <(sed '1,/^FROM scratch/d' Dockerfile | grep -E '^(USER|ENTRYPOINT|CMD) ')
  image docker.io/library/toolgate:dev "$made/gate" "${instructions[@]}"

  program "$made/redis" "$(command -v redis-server)"
  program "$made/redis" "$(command -v dash)"
  # the public image turns protected mode off, since a container's port is open to its networks alone
  image docker.io/library/redis:7-alpine "$made/redis" 'ENTRYPOINT ["dash", "-c", "exec \"$@\" --protected-mode no", "--"]'

  program "$made/nginx" "$(command -v nginx)"
  mkdir -p "$made/nginx"/{etc/nginx,var/log/nginx,var/lib/nginx}
  image docker.io/library/nginx:1.29-alpine "$made/nginx" 'STOPSIGNAL SIGQUIT' 'CMD ["nginx", "-g", "daemon off;"]'

  program "$made/prometheus" "$(command -v prometheus)"
  install -d -o 65534 -g 65534 "$made/prometheus/prometheus"
  mkdir -p "$made/prometheus/etc/prometheus"
  image docker.io/prom/prometheus:v3.7.3 "$made/prometheus" 'USER 65534:65534' 'ENTRYPOINT ["prometheus"]'
}

[ "$(id -u)" -eq 0 ] || fail "there is no Docker daemon, and podman needs root here: start Docker, or run this as root"
command -v apt-get >/dev/null || fail "there is no Docker daemon: start one (the stand-in for it is made of Debian's packages)"
install_packages
configure
make_images
podman system service --time 0 "unix://$folder/docker.sock" >&2 &
service=$!
trap 'kill $service 2>/dev/null || true; wait $service 2>/dev/null || true' EXIT
for _ in $(seq 100); do
  curl -fsS --max-time 5 --unix-socket "$folder/docker.sock" http://localhost/_ping >/dev/null 2>&1 && break
  kill -0 $service 2>/dev/null || fail "podman did not start"
  sleep 0.1
done
echo listening
cat >/dev/null
