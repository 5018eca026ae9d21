"""The ways from the client to the static upstream that are measured side by side.

Each candidate says how to start it (fresh in every round) and which processes its calls cost. What belongs to the
gate runs on the gate's core, the upstream and the load on the other one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from machine import BenchError, Processes, free_ports, wait_for_port

HERE = Path(__file__).resolve().parent
CONNECTION_COUNT = 32
"""Connections that the load keeps open, in both kinds of load."""
TOKEN = "toolgate-bench-token-0123456789abcdef"
UNREACHABLE = 1_000_000_000
"""A `max` per minute that no run comes near: nothing is denied."""

BODY = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"start_run","arguments":'
    b'{"pipeline":"daily-orders","branch":"main","environment":"production","full_refresh":false},'
    b'"_meta":{"progressToken":1}}}'
)
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Accept-Encoding": "gzip, deflate",
    "Authorization": f"Bearer {TOKEN}",
    "Content-Type": "application/json",
    "MCP-Protocol-Version": "2025-11-25",
    "User-Agent": "toolgate-bench",
}
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"run r-4711 started"}],"isError":false}}'


@dataclass(frozen=True)
class Tools:
    """Paths of the programs, and the two cores."""

    nginx: str
    redis: str
    envoy: str
    toolgate: str
    gate_core: int
    load_core: int


@dataclass
class Up:
    """A candidate that is running and has answered nothing yet."""

    port: int
    process: subprocess.Popen
    upstream_port: int
    redis: subprocess.Popen | None = None


@dataclass(frozen=True)
class Candidate:
    """`key` is the letter of the report, `limit` where the counters of the call live."""

    key: str
    title: str
    kind: str
    limit: str = ""
    log_to_file: bool = False
    env: dict[str, str] = field(default_factory=dict)


CANDIDATES = [
    Candidate("a", "nginx, directly", "direct"),
    Candidate("b1", "Envoy, plain route", "envoy"),
    Candidate("b2", "Envoy, `mcp` + `local_ratelimit`", "envoy", "envoy"),
    Candidate("c", "toolgate, no limit", "toolgate"),
    Candidate("d", "toolgate, memory limit", "toolgate", "memory"),
    Candidate("d-log", "toolgate, memory limit, log to a file", "toolgate", "memory", log_to_file=True),
    Candidate("e", "toolgate, Redis limit", "toolgate", "redis"),
]


def fill(template: str, target: Path, values: dict[str, object]) -> Path:
    """Writes a file of `configs/` with each `@NAME@` replaced."""
    text = (HERE / "configs" / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    target.write_text(text)
    return target


def start_nginx(processes: Processes, tools: Tools, core: int) -> tuple[subprocess.Popen, int]:
    """Starts the static upstream on a core."""
    (port,) = free_ports(1)
    config = fill(
        "nginx.conf.in",
        processes.work / f"nginx-{port}.conf",
        {"PORT": port, "WORK": processes.work, "ANSWER": ANSWER.decode()},
    )
    command = [tools.nginx, "-e", "stderr", "-p", str(processes.work), "-c", str(config)]
    process = processes.start("nginx", core, command)
    wait_for_port(port, process)
    return process, port


def start_redis(processes: Processes, tools: Tools) -> tuple[subprocess.Popen, int]:
    """Starts an empty Redis that saves nothing, on the gate's core."""
    (port,) = free_ports(1)
    command = [tools.redis, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = processes.start("redis", tools.gate_core, [*command, "--dir", str(processes.work)])
    wait_for_port(port, process)
    return process, port


def start_envoy(processes: Processes, tools: Tools, candidate: Candidate, upstream: int, limit: int) -> Up:
    """Starts Envoy with one worker."""
    (port,) = free_ports(1)
    values = {"PORT": port, "UPSTREAM": upstream, "MAX": limit, "UNLIMITED": UNREACHABLE}
    template = "envoy-mcp.json.in" if candidate.limit else "envoy-plain.json.in"
    config = fill(template, processes.work / f"envoy-{port}.json", values)
    command = [tools.envoy, "-c", str(config), "--base-id", str(port), "--concurrency", "1", "-l", "error"]
    process = processes.start("envoy", tools.gate_core, command)
    wait_for_port(port, process)
    return Up(port, process, upstream)


def start_toolgate(processes: Processes, tools: Tools, candidate: Candidate, upstream: int, limit: int) -> Up:
    """Starts toolgate with one worker thread; its decision log goes to /dev/null or to a file."""
    port, admin = free_ports(2)
    folder = processes.work / f"toolgate-{port}"
    folder.mkdir()
    redis, redis_port = start_redis(processes, tools) if candidate.limit == "redis" else (None, 0)
    counters: dict[str, object] = {"store": "memory"}
    if redis is not None:
        # What is measured is the cost of a call; on a busy machine the deadline of 100 ms would refuse a few.
        counters = {"store": "redis", "url": f"redis://127.0.0.1:{redis_port}", "deadline_ms": 5000}
    rule: dict[str, object] = {}
    if candidate.limit:
        rule = {"limits": [{"counter": "start_run_rate", "window": "minute", "max": limit, "scope": "grant"}]}
    policy = {"version": "1", "default": "deny", "tools": {"start_run": rule}}
    settings = {
        "listen": f"127.0.0.1:{port}",
        "admin": f"127.0.0.1:{admin}",
        "counters": counters,
        "servers": {"bench": {"upstream": f"http://127.0.0.1:{upstream}/mcp"}},
        "policies": {"bench": "policy.json"},
        "grants": "grants.yaml",
    }
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    grants = {"grants": [{"id": "bench", "token_sha256": digest, "server": "bench", "policy": "bench"}]}
    # JSON is YAML, so the files need no YAML library.
    for name, content in {"toolgate.yaml": settings, "grants.yaml": grants, "policy.json": policy}.items():
        (folder / name).write_text(json.dumps(content, indent=1))
    process = processes.start(
        "toolgate",
        tools.gate_core,
        [tools.toolgate, "serve", "--config", str(folder / "toolgate.yaml")],
        env={"TOKIO_WORKER_THREADS": "1", **candidate.env},
        stdout=folder / "decisions.jsonl" if candidate.log_to_file else None,
    )
    wait_for_port(port, process)
    return Up(port, process, upstream, redis)


@contextlib.contextmanager
def running(
    processes: Processes, tools: Tools, candidate: Candidate, upstream: int, limit: int = UNREACHABLE
) -> Iterator[Up]:
    """Starts a candidate in front of the upstream and ends it again."""
    if candidate.kind == "direct":
        process, port = start_nginx(processes, tools, tools.gate_core)
        up = Up(port, process, port)
    elif candidate.kind == "envoy":
        up = start_envoy(processes, tools, candidate, upstream, limit)
    elif candidate.kind == "toolgate":
        up = start_toolgate(processes, tools, candidate, upstream, limit)
    else:
        raise BenchError(f"unknown kind `{candidate.kind}`")
    try:
        yield up
    except BenchError as error:
        # toolgate says on stderr why it did not forward a call
        raise BenchError(f"{error}\n{processes.last_words(up.process)}") from error
    finally:
        processes.stop(up.process)
        if up.redis is not None:
            processes.stop(up.redis)
        for log in processes.work.glob("toolgate-*/decisions.jsonl"):
            log.unlink()
