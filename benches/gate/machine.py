"""Processes, pinning and what the kernel says about them.

Everything that the benchmark starts goes through `Processes`, which ends it by its own process id, also when a run
fails. Nothing here looks at other processes by name.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1


class BenchError(Exception):
    """The run cannot be trusted or cannot go on; the message says why."""


def _die_with_parent() -> None:
    """Lets the kernel end the child when the harness dies without cleaning up (kill -9)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pinned(core: int, command: list[str]) -> list[str]:
    """The command bound to one core. `taskset` replaces itself, so the process id stays the same."""
    return ["taskset", "-c", str(core), *command]


class Processes:
    """The processes of a run. Leaving the `with` block ends all that are still there."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._running: list[subprocess.Popen] = []
        self._count = 0

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(list(self._running)):
            self.stop(process)

    def start(
        self, name: str, core: int, command: list[str], *, env: dict[str, str] | None = None, stdout: Path | None = None
    ) -> subprocess.Popen:
        """Starts a server on a core. Its stderr goes to a file in the work folder, shown when it dies."""
        self._count += 1
        log = self.work / f"{self._count:03}-{name}.stderr"
        with log.open("wb") as err, (stdout or Path(os.devnull)).open("wb") as out:
            process = subprocess.Popen(
                pinned(core, command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **(env or {})},
                cwd=self.work,
                preexec_fn=_die_with_parent,
            )
        process.bench_name = name  # type: ignore[attr-defined]
        process.bench_log = log  # type: ignore[attr-defined]
        self._running.append(process)
        return process

    def run(self, core: int, command: list[str], *, timeout: float) -> str:
        """Runs a command on a core to its end and returns its stdout. Raises when it fails or takes too long."""
        process = subprocess.Popen(
            pinned(core, command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.work,
            preexec_fn=_die_with_parent,
        )
        self._running.append(process)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise BenchError(f"`{command[0]}` took longer than {timeout:.0f} s") from None
        finally:
            self.stop(process)
            for pipe in (process.stdout, process.stderr):
                pipe.close()
        if process.returncode != 0:
            raise BenchError(f"`{command[0]}` ended with {process.returncode}: {err.strip()[-2000:] or out[-2000:]}")
        return out

    def stop(self, process: subprocess.Popen) -> None:
        """Asks a process to end, and ends it after five seconds."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self._running:
            self._running.remove(process)

    @staticmethod
    def check_alive(process: subprocess.Popen) -> None:
        """Raises with the tail of its stderr when a server has died."""
        if process.poll() is not None:
            name = process.bench_name  # type: ignore[attr-defined]
            raise BenchError(f"{name} ended with {process.returncode}: {Processes.last_words(process)}")

    @staticmethod
    def last_words(process: subprocess.Popen) -> str:
        """The end of what a server wrote to stderr."""
        return process.bench_log.read_text(errors="replace")[-2000:].strip()  # type: ignore[attr-defined]


def free_ports(count: int) -> list[int]:
    """Ports that were free on loopback a moment ago."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
        return ports


def wait_for_port(port: int, process: subprocess.Popen, seconds: float = 15) -> None:
    """Waits until something listens on a loopback port."""
    end = time.monotonic() + seconds
    while True:
        Processes.check_alive(process)
        with socket.socket() as sock:
            sock.settimeout(1)
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > end:
            raise BenchError(f"{process.bench_name} does not listen on port {port}")  # type: ignore[attr-defined]
        time.sleep(0.02)


def cpu_seconds(pid: int) -> tuple[float, float]:
    """User and system time of a process and all its threads so far (`utime` and `stime` of proc(5) stat).

    The kernel knows the sum exactly; how it divides is sampled.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident memory now and at its peak, in MiB (`VmRSS` and `VmHWM` of proc(5) status)."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = {key: int(value) for key, value in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", text, re.M)}
    return found["VmRSS"] / 1024, found["VmHWM"] / 1024


def core_seconds(core: int) -> tuple[float, float]:
    """Busy time of a core so far, whoever used it, and the time that the hypervisor took from it."""
    line = re.search(rf"^cpu{core} (.*)$", Path("/proc/stat").read_text(), re.M)
    if line is None:
        raise BenchError(f"core {core} is not in /proc/stat")
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.group(1).split()[:8])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def busy_share(cores: list[int], seconds: float) -> float:
    """The share of the cores that is in use while nothing of ours runs, 0 to 1."""
    before = sum(core_seconds(core)[0] for core in cores)
    time.sleep(seconds)
    return (sum(core_seconds(core)[0] for core in cores) - before) / (seconds * len(cores))


def wait_until_calm(cores: list[int], patience: float, limit: float = 0.05) -> float:
    """Waits until the cores are idle but for `limit`, at most `patience` seconds. Returns the last share seen."""
    end = time.monotonic() + patience
    while True:
        share = busy_share(cores, 2)
        if share <= limit or time.monotonic() > end:
            return share
        print(f"the machine is busy ({share:.0%}), waiting", flush=True)
        time.sleep(3)
