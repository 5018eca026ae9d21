"""Medians, spreads and ratios, as text for the terminal and as `docs/performance.md`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

from candidates import CANDIDATES, CONNECTION_COUNT

Samples = dict[str, list[dict[str, float]]]
TITLES = {candidate.key: candidate.title for candidate in CANDIDATES}
IDLE_AIM_MIB = 15e6 / 2**20
"""15 MB in MiB."""
DISTURBED_SHARE = 0.05
DISTURBED_SPREAD = 0.4
"""Above these (others' share of the gate's core, spread of throughput) a run is called disturbed."""
SATURATED = 0.93
"""Below this share of its core a candidate was held back by the load's core, not by itself."""


def values(samples: Samples, key: str, name: str) -> list[float]:
    """One figure of one candidate over all rounds."""
    return [sample[name] for sample in samples[key]]


def middle(samples: Samples, key: str, name: str, form: str) -> str:
    """The median alone."""
    return format(median(values(samples, key, name)), form)


def spread(samples: Samples, key: str, name: str, form: str) -> str:
    """The median with the lowest and highest round."""
    found = values(samples, key, name)
    if len(found) == 1:
        return format(found[0], form)
    return f"{median(found):{form}} ({min(found):{form}}–{max(found):{form}})"


def ratio(samples: Samples, above: str, below: str, name: str) -> list[float]:
    """The quotient of two candidates, round by round: what slows a whole round down cancels out."""
    return [a / b for a, b in zip(values(samples, above, name), values(samples, below, name))]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table that also reads well in a terminal."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def calls_table(samples: Samples) -> str:
    """Throughput and CPU of the closed loop."""
    head = ["", "way to the upstream", "calls/s", "CPU µs per call", "kernel", "Redis", "its core in use"]
    rows = [
        [
            key,
            TITLES[key],
            spread(samples, key, "throughput", ",.0f"),
            spread(samples, key, "cpu_us", ".1f"),
            middle(samples, key, "system_us", ".1f"),
            middle(samples, key, "redis_us", ".1f") if any(values(samples, key, "redis_us")) else "–",
            middle(samples, key, "core_busy", ".0%"),
        ]
        for key in samples
    ]
    return table(head, rows)


def latency_table(samples: Samples) -> str:
    """Latency and CPU at the fixed rate."""
    head = ["", "way to the upstream", "p50 ms", "p99 ms", "CPU µs per call", "calls/s held"]
    rows = [
        [
            key,
            TITLES[key],
            spread(samples, key, "p50_ms", ".2f"),
            spread(samples, key, "p99_ms", ".2f"),
            spread(samples, key, "fixed_cpu_us", ".1f"),
            middle(samples, key, "rate", ",.0f"),
        ]
        for key in samples
    ]
    return table(head, rows)


def memory_table(samples: Samples) -> str:
    """Resident memory of the candidate's own process."""
    head = ["", "way to the upstream", "idle MiB", "after the load MiB", "peak MiB", "Redis peak MiB"]
    rows = [
        [
            key,
            TITLES[key],
            *(spread(samples, key, name, ".1f") for name in ("idle_mib", "settled_mib", "peak_mib")),
            middle(samples, key, "redis_peak_mib", ".1f") if any(values(samples, key, "redis_peak_mib")) else "–",
        ]
        for key in samples
    ]
    return table(head, rows)


def ratio_table(samples: Samples) -> str:
    """Each toolgate candidate against both forms of Envoy."""
    rows = []
    for key in samples:
        if TITLES[key].startswith("toolgate"):
            for peer in ("b1", "b2"):
                if peer in samples:
                    cells = [ratio_cell(samples, key, peer, name) for name in ("throughput", "cpu_us", "p99_ms")]
                    rows.append([f"{key} ÷ {peer}", *cells])
    return table(["", "throughput", "CPU per call", "p99 at the fixed rate"], rows) if rows else "(no toolgate in this run)"


def ratio_cell(samples: Samples, above: str, below: str, name: str) -> str:
    """The median quotient with its spread."""
    found = ratio(samples, above, below, name)
    if len(found) == 1:
        return f"{found[0]:.2f}"
    return f"{median(found):.2f} ({min(found):.2f}–{max(found):.2f})"


def best_ratio(samples: Samples, above: str, below: str, name: str) -> float:
    """The quotient of each candidate's best round: other work on the machine only ever adds."""
    best = max if name == "throughput" else min
    return best(values(samples, above, name)) / best(values(samples, below, name))


def aims(samples: Samples) -> list[list[str]]:
    """Aim, what was measured, and a verdict: `unclear` where the median and the best rounds disagree."""
    rows = []
    for above, name, met, text in (
        ("d", "cpu_us", lambda v: v <= 0.5, "d: CPU per call ÷ b2, at most 0.50"),
        ("d", "throughput", lambda v: v >= 2, "d: throughput ÷ b2, at least 2.00"),
        ("e", "cpu_us", lambda v: v <= 1, "e: CPU per call with Redis ÷ b2, at most 1.00"),
    ):
        if {above, "b2"} <= samples.keys():
            found, best = ratio(samples, above, "b2", name), best_ratio(samples, above, "b2", name)
            rows.append([text, ratio_cell(samples, above, "b2", name), f"{best:.2f}", verdict(met, median(found), best)])
    idle = [value for key in samples if TITLES[key].startswith("toolgate") for value in values(samples, key, "idle_mib")]
    if idle:
        text = f"toolgate: idle memory, under {IDLE_AIM_MIB:.1f} MiB (15 MB)"
        shown = f"{median(idle):.1f} ({min(idle):.1f}–{max(idle):.1f})"
        # For memory the largest counts: nothing that others do adds to it.
        rows.append([text, shown, "–", verdict(lambda v: v < IDLE_AIM_MIB, median(idle), max(idle))])
    return rows


def verdict(met: Callable[[float], bool], middle_value: float, other: float) -> str:
    """`met` or `missed` only where both readings agree."""
    if met(middle_value) != met(other):
        return "**unclear**"
    return "met" if met(middle_value) else "**missed**"


def disturbance(run: dict) -> str:
    """A warning where the machine was too busy for the figures to be quoted, else nothing."""
    samples: Samples = run["samples"]
    foreign = median(value for key in samples for value in values(samples, key, "foreign"))
    widest = max(relative_spread(values(samples, key, "throughput")) for key in samples)
    if foreign <= DISTURBED_SHARE and widest <= DISTURBED_SPREAD:
        return ""
    return (
        f"**This run was disturbed and is not to be quoted:** others had {foreign:.0%} of the gate's core in the median, and"
        f" throughput differed between rounds by up to {widest:.0%}. Run it again on a calm machine."
    )


def aims_table(run: dict) -> str:
    """The aims as a table. A disturbed run gives no verdict on anything but memory."""
    rows = aims(run["samples"])
    if disturbance(run):
        rows = [[*row[:-1], row[-1] if "idle memory" in row[0] else "no verdict"] for row in rows]
    return table(["aim", "median of the rounds", "best rounds", ""], rows) if rows else "(no toolgate in this run)"


def noise(run: dict) -> str:
    """How far the machine can be trusted."""
    samples: Samples = run["samples"]
    widest = max(samples, key=lambda key: relative_spread(values(samples, key, "throughput")))
    share = relative_spread(values(samples, widest, "throughput"))
    foreign = max(value for key in samples for value in values(samples, key, "foreign"))
    stolen = max(value for key in samples for value in values(samples, key, "stolen"))
    lines = [
        f"- Widest spread of throughput over {run['rounds']} rounds: {share:.0%} of the median ({TITLES[widest]}).",
        f"- In use by others on the gate's core while measuring: at most {foreign:.1%}; taken by the hypervisor: at most {stolen:.1%}.",
        f"- In use on both cores before the run: {run['busy_before']:.1%}, after it: {run['busy_after']:.1%}.",
    ]
    held = [key for key in samples if median(core_taken(samples, key)) < SATURATED]
    if held:
        lines.append(
            f"- Candidates whose core was not fully in use, so that the load's core set their throughput: {', '.join(held)}."
            " They could do more than the table says."
        )
    slow = [key for key in samples if median(values(samples, key, "rate")) < 0.98 * run["rate"]]
    if slow:
        lines.append(f"- The fixed rate was not held by: {', '.join(slow)}. Their latencies are those of a queue.")
    return "\n".join(lines)


def core_taken(samples: Samples, key: str) -> list[float]:
    """The share of the gate's core that was not idle, whoever had it."""
    return [sample["core_busy"] + sample["foreign"] + sample["stolen"] for sample in samples[key]]


def relative_spread(found: list[float]) -> float:
    """Highest less lowest, as a share of the median."""
    return (max(found) - min(found)) / median(found)


def version_line(run: dict) -> str:
    """All versions in one line."""
    return ", ".join(f"{name} {version}" for name, version in run["versions"].items())


def tables(run: dict) -> str:
    """What the terminal shows."""
    samples: Samples = run["samples"]
    parts = [
        f"Closed loop, {CONNECTION_COUNT} connections:",
        calls_table(samples),
        f"Fixed rate, {run['rate']:,} calls/s:",
        latency_table(samples),
        "Memory:",
        memory_table(samples),
        "Ratios in the same round:",
        ratio_table(samples),
        "Aims:",
        aims_table(run),
        disturbance(run),
        noise(run),
        version_line(run),
    ]
    if run["counters"]:
        parts += ["Counters:", run["counters"].strip()]
    return "\n\n".join(["", *parts, f"{run['minutes']:.1f} minutes"])


def document(run: dict) -> str:
    """The text of docs/performance.md."""
    samples: Samples = run["samples"]
    text = (Path(__file__).resolve().parent / "performance.md.in").read_text()
    counters = run["counters"].strip()
    filled = {
        "ROUNDS": str(run["rounds"]),
        "SECONDS": f"{run['seconds']:g}",
        "RATE": f"{run['rate']:,}",
        "CONNECTIONS": str(CONNECTION_COUNT),
        "AIMS": "\n\n".join(part for part in (disturbance(run), aims_table(run)) if part),
        "CALLS": calls_table(samples),
        "LATENCY": latency_table(samples),
        "MEMORY": memory_table(samples),
        "RATIOS": ratio_table(samples),
        "NOISE": noise(run),
        "COUNTERS": counters or "Not measured in this run.",
        "VERSIONS": version_line(run),
    }
    for name, value in filled.items():
        text = text.replace(f"@{name}@", value)
    return text
