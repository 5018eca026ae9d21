"""Tests of the harness itself: python3 -m unittest discover benches/gate"""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import load
import report
from candidates import ANSWER, CANDIDATES
from machine import BenchError, Processes, cpu_seconds, memory_mib


def answering(status: int, body: bytes) -> http.server.HTTPServer:
    """A server on loopback with one answer to each POST."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Answers(unittest.TestCase):
    def given(self, status: int, body: bytes) -> int:
        server = answering(status, body)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def test_the_upstreams_answer_passes(self) -> None:
        load.check_answer("x", self.given(200, ANSWER))

    def test_a_wrong_status_fails_the_run(self) -> None:
        with self.assertRaisesRegex(BenchError, "answered 503"):
            load.check_answer("x", self.given(503, ANSWER))

    def test_a_refusal_with_status_200_fails_the_run(self) -> None:
        body = b'{"jsonrpc":"2.0","id":1,"result":{"isError":true,"_meta":{"toolgate/decision":{"outcome":"limited"}}}}'
        port = self.given(200, body)
        self.assertTrue(load.is_refused(port))
        with self.assertRaises(BenchError):
            load.check_answer("x", port)

    def test_another_tool_error_is_no_proof_of_a_limit(self) -> None:
        self.assertFalse(load.is_refused(self.given(200, b'{"result":{"isError":true,"outcome":"denied"}}')))

    def test_calls_that_never_reached_the_upstream_fail_the_run(self) -> None:
        load.check_reached("x", 100, before=10, after=111)
        for after in (110, 111 + 65):
            with self.assertRaises(BenchError):
                load.check_reached("x", 100, before=10, after=after)


class Machine(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = Path(folder.name)

    def test_processes_are_ended_when_the_run_fails(self) -> None:
        with self.assertRaises(BenchError), Processes(self.work) as processes:
            process = processes.start("sleep", 0, ["sleep", "60"])
            raise BenchError("broken on purpose")
        self.assertEqual(process.returncode, -signal.SIGTERM)

    def test_a_killed_harness_takes_its_processes_along(self) -> None:
        script = (
            "import sys, time; from pathlib import Path; from machine import Processes\n"
            "p = Processes(Path(sys.argv[1])).start('sleep', 0, ['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"
        )
        here = str(Path(__file__).resolve().parent)
        command = [sys.executable, "-c", script, str(self.work)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=here) as harness:
            pid = int(harness.stdout.readline())
            harness.kill()
        end = time.monotonic() + 5
        while is_running(pid) and time.monotonic() < end:
            time.sleep(0.01)
        self.assertFalse(is_running(pid))

    def test_a_command_that_takes_too_long_is_ended(self) -> None:
        with Processes(self.work) as processes, self.assertRaisesRegex(BenchError, "longer than"):
            processes.run(0, ["sleep", "60"], timeout=0.2)

    def test_cpu_time_and_memory_of_a_process_are_read(self) -> None:
        start = sum(cpu_seconds(os.getpid()))
        while sum(cpu_seconds(os.getpid())) < start + 0.05:
            pass
        now, peak = memory_mib(os.getpid())
        self.assertTrue(1 < now <= peak)


def is_running(pid: int) -> bool:
    """Whether a process exists and is not merely waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Report(unittest.TestCase):
    def run_of(self, cpu: dict[str, list[float]], throughput: dict[str, list[float]]) -> dict:
        same = ("redis_us system_us core_busy foreign stolen p50_ms p99_ms fixed_cpu_us idle_mib settled_mib peak_mib redis_peak_mib").split()
        samples = {
            key: [
                {**dict.fromkeys(same, 1.0), "rate": 500.0, "cpu_us": a, "throughput": b}
                for a, b in zip(cpu[key], throughput[key])
            ]
            for key in cpu
        }
        return {
            "rounds": 3, "seconds": 1, "rate": 500, "busy_before": 0.0, "busy_after": 0.0, "minutes": 1.0,
            "versions": {"nginx": "1"}, "counters": "", "samples": samples,
        }  # fmt: skip

    def test_ratios_are_taken_round_by_round(self) -> None:
        # The machine is twice as slow in the second round; the quotients are 0.5, 0.5 and 0.4 all the same.
        run = self.run_of({"b2": [100, 200, 100], "d": [50, 100, 40]}, {"b2": [10, 5, 10], "d": [20, 10, 25]})
        self.assertEqual(report.ratio(run["samples"], "d", "b2", "cpu_us"), [0.5, 0.5, 0.4])
        self.assertEqual([row[-1] for row in report.aims(run["samples"])][:2], ["met", "met"])

    def test_a_missed_aim_is_called_missed(self) -> None:
        run = self.run_of({"b2": [100, 100, 100], "d": [60, 60, 55]}, {"b2": [10, 10, 10], "d": [19, 19, 19]})
        self.assertEqual([row[-1] for row in report.aims(run["samples"])][:2], ["**missed**", "**missed**"])

    def test_an_aim_that_only_the_slow_rounds_meet_is_unclear(self) -> None:
        run = self.run_of({"b2": [100, 200, 220], "d": [60, 70, 80]}, {"b2": [10, 9, 5], "d": [25, 25, 25]})
        self.assertEqual([row[-1] for row in report.aims(run["samples"])][:2], ["**unclear**", "met"])

    def test_a_disturbed_run_says_so_at_the_top(self) -> None:
        calm = self.run_of({"b2": [1.0, 1.0]}, {"b2": [10, 11]})
        for sample in calm["samples"]["b2"]:
            sample["foreign"] = 0.01
        self.assertEqual(report.disturbance(calm), "")
        calm["samples"]["b2"][0]["throughput"] = 3.0
        self.assertIn("not to be quoted", report.document(calm))

    def test_a_disturbed_run_gives_no_verdict(self) -> None:
        run = self.run_of({"b2": [100, 100], "d": [40, 40]}, {"b2": [10, 10], "d": [30, 30]})
        self.assertNotIn(" met ", report.aims_table(run).replace("15 MB", "").split("idle")[0])

    def test_a_rate_that_was_not_held_is_named(self) -> None:
        run = self.run_of({"b2": [1.0]}, {"b2": [1.0]})
        run["samples"]["b2"][0]["rate"] = 400.0
        self.assertIn("not held by: b2", report.noise(run))

    def test_the_document_has_no_place_left_unfilled(self) -> None:
        keys = [candidate.key for candidate in CANDIDATES]
        run = self.run_of({key: [1.0, 2.0, 3.0] for key in keys}, {key: [1.0, 2.0, 3.0] for key in keys})
        self.assertNotRegex(report.document(run), r"@[A-Z]+@")


if __name__ == "__main__":
    unittest.main()
