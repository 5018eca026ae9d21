"""What is sent, and the check that it was answered by the upstream.

`wrk` gives the throughput of a closed loop, `oha` the latency at a fixed rate. A refused call is answered with HTTP
200 too, so a status says little: the upstream's own count of requests must agree with the count of calls.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import re
from pathlib import Path

from candidates import ANSWER, BODY, CONNECTION_COUNT, HEADERS, Up
from machine import BenchError, Processes


def post(port: int) -> tuple[int, bytes]:
    """Sends the request of the benchmark once. Returns status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/mcp", body=BODY, headers=HEADERS)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def check_answer(name: str, port: int) -> None:
    """Raises unless the candidate gives the upstream's answer with status 200."""
    status, body = post(port)
    if status != 200 or body != ANSWER:
        raise BenchError(f"{name} answered {status} with {body[:300]!r} instead of 200 with the upstream's answer")


def is_refused(port: int) -> bool:
    """Whether a call is refused because of a limit: 429 from Envoy, a tool error that names it from toolgate."""
    status, body = post(port)
    return status == 429 or (status == 200 and b'"limited"' in body and b'"isError":true' in body.replace(b" ", b""))


def upstream_requests(port: int) -> int:
    """How many requests nginx has read so far; this question is one of them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/status")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = re.search(r"^ *\d+ +\d+ +(\d+) *$", text, re.M)
    if found is None:
        raise BenchError(f"nginx told no request count: {text!r}")
    return int(found.group(1))


def check_reached(name: str, calls: int, before: int, after: int) -> None:
    """Raises unless the upstream saw each call. Calls cut off at the end of a loop may be seen but not counted."""
    seen = after - before - 1
    if not calls <= seen <= calls + 2 * CONNECTION_COUNT:
        raise BenchError(f"{name}: {calls} calls were answered, but the upstream saw {seen} requests")


def write_request(work: Path) -> tuple[Path, Path]:
    """Leaves body and headers in files for the load tools."""
    body, headers = work / "body.json", work / "headers.txt"
    body.write_bytes(BODY)
    headers.write_text("".join(f"{name}: {value}\n" for name, value in HEADERS.items()))
    return body, headers


def closed_loop(processes: Processes, core: int, name: str, up: Up, seconds: float) -> dict[str, float]:
    """Keeps 32 connections busy and returns calls and seconds. Raises on any error or status above 399."""
    body, headers = write_request(processes.work)
    os.environ["BENCH_BODY"], os.environ["BENCH_HEADERS"] = str(body), str(headers)
    script = Path(__file__).resolve().parent / "post.lua"
    command = ["wrk", "-t1", f"-c{CONNECTION_COUNT}", f"-d{math.ceil(seconds)}s", "--timeout", "5s", "-s", str(script)]
    before = upstream_requests(up.upstream_port)
    out = processes.run(core, [*command, f"http://127.0.0.1:{up.port}/mcp"], timeout=seconds + 20)
    found = re.search(r"^BENCH (\{.*\})$", out, re.M)
    if found is None:
        raise BenchError(f"wrk printed no sums: {out[-500:]}")
    sums = json.loads(found.group(1))
    errors = {key: sums[key] for key in ("connect", "read", "write", "status", "timeout") if sums[key]}
    if errors or not sums["requests"]:
        raise BenchError(f"{name}: {sums['requests']} calls in the closed loop, errors {errors}")
    check_reached(name, sums["requests"], before, upstream_requests(up.upstream_port))
    return sums


def fixed_rate(
    processes: Processes, core: int, oha: str, name: str, up: Up, rate: int, seconds: float
) -> dict[str, float]:
    """Sends `rate` calls a second, counts the wait from when each was due, and returns p50 and p99 in milliseconds."""
    body, headers = write_request(processes.work)
    calls = int(rate * seconds)
    command = [oha, "--no-tui", "--output-format", "json", "--latency-correction", "--disable-compression"]
    command += ["-n", str(calls), "-q", str(rate), "-c", str(CONNECTION_COUNT), "-t", "5s", "-m", "POST", "-D", str(body)]
    for line in headers.read_text().splitlines():
        command += ["-H", line]
    before = upstream_requests(up.upstream_port)
    out = processes.run(core, [*command, f"http://127.0.0.1:{up.port}/mcp"], timeout=3 * seconds + 20)
    result = json.loads(out)
    if result["statusCodeDistribution"] != {"200": calls} or result["errorDistribution"]:
        raise BenchError(
            f"{name}: {calls} calls at a fixed rate gave {result['statusCodeDistribution']} {result['errorDistribution']}"
        )
    check_reached(name, calls, before, upstream_requests(up.upstream_port))
    total = result["summary"]["total"]
    percentiles = result["latencyPercentiles"]
    return {
        "calls": calls,
        "seconds": total,
        "rate": calls / total,
        "p50_ms": percentiles["p50"] * 1000,
        "p99_ms": percentiles["p99"] * 1000,
    }
