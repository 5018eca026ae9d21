#!/usr/bin/env python3
"""Measures toolgate beside nginx and Envoy in one run on one machine. `run.sh` calls it; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import load
import report
import versions
from candidates import CANDIDATES, Candidate, Tools, running, start_nginx
from machine import (
    BenchError,
    Processes,
    busy_share,
    core_seconds,
    cpu_seconds,
    memory_mib,
    wait_until_calm,
)

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round to see that all works; writes no document")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, at least 5 for the document (default 5)")
    parser.add_argument("--seconds", type=float, default=4, help="seconds of each measurement (default 4)")
    parser.add_argument("--rate", type=int, default=0, help="calls a second for the latencies (default: chosen)")
    parser.add_argument("--only", default="", help="candidates, separated by commas, e.g. b2,d")
    parser.add_argument("--patience", type=float, default=300, help="seconds to wait for a calm machine (default 300)")
    parser.add_argument("--cores", default="", help="gate's core and load's core (default: the first two allowed)")
    parser.add_argument("--nginx", default="nginx")
    parser.add_argument("--redis", default="redis-server")
    parser.add_argument("--envoy", required=True, help="the envoy binary")
    parser.add_argument("--oha", required=True, help="the oha binary")
    parser.add_argument("--toolgate", default="", help="the toolgate binary; left out: only nginx and Envoy")
    parser.add_argument("--counters", type=Path, help="a file with the output of the counters benchmark")
    parser.add_argument("--samples", type=Path, help="where to write all samples as JSON")
    parser.add_argument("--document", type=Path, help="where to write the report, e.g. docs/performance.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.document = 1, 1, None
        options.patience = min(options.patience, 10)
    elif options.document and options.rounds < 5:
        parser.error("the document needs at least 5 rounds")
    return options


def chosen(options: argparse.Namespace) -> list[Candidate]:
    """The candidates of this run."""
    keys = [key for key in options.only.split(",") if key]
    unknown = set(keys) - {candidate.key for candidate in CANDIDATES}
    if unknown:
        raise BenchError(f"unknown candidates {sorted(unknown)}")
    return [
        candidate
        for candidate in CANDIDATES
        if (not keys or candidate.key in keys) and (candidate.kind != "toolgate" or options.toolgate)
    ]


def cores(options: argparse.Namespace) -> tuple[int, int]:
    """The gate's core and the load's core."""
    allowed = [int(core) for core in options.cores.split(",")] if options.cores else sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise BenchError("two cores are needed: one for the gate, one for the load and the upstream")
    return allowed[0], allowed[1]


def prove_limit(processes: Processes, tools: Tools, candidate: Candidate, upstream: int) -> None:
    """Raises unless a limit of 3 calls per minute admits three calls and refuses the fourth."""
    with running(processes, tools, candidate, upstream, limit=3) as up:
        for _ in range(3):
            load.check_answer(candidate.title, up.port)
        if not load.is_refused(up.port):
            raise BenchError(f"{candidate.title}: the limit is not in force, a fourth call of 3 was answered")


def rehearse(
    processes: Processes, tools: Tools, candidates: list[Candidate], upstream: int, seconds: float
) -> dict[str, float]:
    """Proves each candidate's answer and limit, and returns a first throughput to choose the fixed rate by."""
    found = {}
    for candidate in candidates:
        if candidate.limit and not candidate.log_to_file:
            prove_limit(processes, tools, candidate, upstream)
        with running(processes, tools, candidate, upstream) as up:
            load.check_answer(candidate.title, up.port)
            sums = load.closed_loop(processes, tools.load_core, candidate.title, up, seconds)
            found[candidate.key] = sums["requests"] / sums["seconds"]
        print(f"ready: {candidate.title}, about {found[candidate.key]:,.0f} calls/s", flush=True)
    return found


@dataclass
class Cost:
    """What a step took, in seconds."""

    wall: float
    processes: list[float]
    """User and system time of each process."""
    system: float
    """System time of all of them."""
    core: float
    """Busy time of the gate's core, whoever used it."""
    stolen: float


def measured(pids: list[int], core: int, step: Callable[[], dict[str, float]]) -> tuple[dict[str, float], Cost]:
    """Runs a step and returns its result with what it cost."""
    before, core_before = [cpu_seconds(pid) for pid in pids], core_seconds(core)
    started = time.monotonic()
    result = step()
    wall = time.monotonic() - started
    after, core_after = [cpu_seconds(pid) for pid in pids], core_seconds(core)
    used = [sum(end) - sum(start) for start, end in zip(before, after)]
    system = sum(end[1] - start[1] for start, end in zip(before, after))
    return result, Cost(wall, used, system, core_after[0] - core_before[0], core_after[1] - core_before[1])


def sample(
    processes: Processes, tools: Tools, candidate: Candidate, upstream: int, rate: int, options: argparse.Namespace
) -> dict[str, float]:
    """Measures one candidate once, freshly started."""
    name, core = candidate.title, tools.load_core
    with running(processes, tools, candidate, upstream) as up:
        time.sleep(0.5)
        idle, _ = memory_mib(up.process.pid)
        load.check_answer(name, up.port)
        load.closed_loop(processes, core, name, up, 1)
        pids = [up.process.pid] + ([up.redis.pid] if up.redis else [])
        sums, cost = measured(
            pids, tools.gate_core, lambda: load.closed_loop(processes, core, name, up, options.seconds)
        )
        fixed, fixed_cost = measured(
            pids,
            tools.gate_core,
            lambda: load.fixed_rate(processes, core, options.oha, name, up, rate, options.seconds),
        )
        load.check_answer(name, up.port)
        processes.check_alive(up.process)
        settled, peak = memory_mib(up.process.pid)
        micro = 1e6 / sums["requests"]
        used = sum(cost.processes)
        return {
            "throughput": sums["requests"] / sums["seconds"],
            "cpu_us": used * micro,
            "system_us": cost.system * micro,
            "redis_us": sum(cost.processes[1:]) * micro,
            "core_busy": used / sums["seconds"],
            "foreign": max(0.0, cost.core - used) / cost.wall,
            "stolen": cost.stolen / cost.wall,
            "rate": fixed["rate"],
            "p50_ms": fixed["p50_ms"],
            "p99_ms": fixed["p99_ms"],
            "fixed_cpu_us": sum(fixed_cost.processes) * 1e6 / fixed["calls"],
            "idle_mib": idle,
            "settled_mib": settled,
            "peak_mib": peak,
            "redis_peak_mib": memory_mib(up.redis.pid)[1] if up.redis else 0.0,
        }


def rounds(
    processes: Processes, tools: Tools, options: argparse.Namespace, candidates: list[Candidate]
) -> tuple[dict[str, list[dict[str, float]]], int]:
    """All samples, and the fixed rate. The order turns by one in each round, so that a drift meets all alike."""
    _, upstream = start_nginx(processes, tools, tools.load_core)
    first = rehearse(processes, tools, candidates, upstream, 1)
    rate = options.rate or max(250, int(0.4 * min(first.values()) / 250) * 250)
    print(f"fixed rate: {rate} calls/s", flush=True)
    samples: dict[str, list[dict[str, float]]] = {candidate.key: [] for candidate in candidates}
    for number in range(options.rounds):
        turn = number % len(candidates)
        for candidate in candidates[turn:] + candidates[:turn]:
            found = sample(processes, tools, candidate, upstream, rate, options)
            samples[candidate.key].append(found)
            print(
                f"round {number + 1}: {candidate.key:6} {found['throughput']:9,.0f} calls/s {found['cpu_us']:7.1f} µs CPU"
                f"  p50 {found['p50_ms']:.2f} p99 {found['p99_ms']:.2f} ms  peak {found['peak_mib']:.1f} MiB",
                flush=True,
            )
    return samples, rate


def main() -> int:
    """Runs the benchmark. Exit 0: measured; 1: the run failed; aims that are missed are no failure."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    gate_core, load_core = cores(options)
    tools = Tools(options.nginx, options.redis, options.envoy, options.toolgate, gate_core, load_core)
    candidates = chosen(options)
    started = time.monotonic()
    calm = wait_until_calm([gate_core, load_core], options.patience)
    with tempfile.TemporaryDirectory(prefix="toolgate-bench-") as folder, Processes(Path(folder)) as processes:
        samples, rate = rounds(processes, tools, options, candidates)
    run = {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "rate": rate,
        "busy_before": calm,
        "busy_after": busy_share([gate_core, load_core], 2),
        "minutes": (time.monotonic() - started) / 60,
        "versions": versions.collect(ROOT, tools, options.oha),
        "counters": options.counters.read_text() if options.counters else "",
        "samples": samples,
    }
    if options.samples:
        options.samples.write_text(json.dumps(run, indent=1) + "\n")
    print(report.tables(run))
    if options.document:
        options.document.write_text(report.document(run))
        print(f"written to {options.document}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
