"""What was measured: versions of all parts, and the machine."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

from candidates import Tools


def _first(pattern: str, command: list[str], cwd: Path | None = None) -> str:
    """The first match in what a command prints; `unknown` when there is none or the command fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=cwd, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else "unknown"


def collect(root: Path, tools: Tools, oha: str) -> dict[str, str]:
    """Name to version. The date is left out: the commit stands for it."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    found = {
        "nginx": _first(r"nginx/(\S+)", [tools.nginx, "-v"]),
        "Envoy": _first(r"/(\d+\.\d+\.\d+)/", [tools.envoy, "--version"]),
        "Redis": _first(r"v=(\S+)", [tools.redis, "--version"]),
        "wrk": _first(r"wrk \S*?(\d+\.\d+\.\d+)", ["wrk", "-v"]),
        "oha": _first(r"oha (\S+)", [oha, "--version"]),
        "rustc": _first(r"rustc (\S+)", ["rustc", "--version"], root),
        "Linux": re.match(r"\d+\.\d+", platform.release()).group(0),  # type: ignore[union-attr]
        "CPU": model.group(1) if model else platform.machine(),
    }
    if tools.toolgate:
        # What the run itself writes does not make the tree another one.
        tree = ["git", "status", "--porcelain", "--", ".", ":!docs/performance.md"]
        changed = _first(r"(?m)^(.)", tree, root) != "unknown"
        version = _first(r"toolgate (\S+)", [tools.toolgate, "--version"])
        commit = _first(r"(\S+)", ["git", "rev-parse", "--short", "HEAD"], root)
        found["toolgate"] = f"{version} ({commit}{', with changes' if changed else ''})"
    return found
