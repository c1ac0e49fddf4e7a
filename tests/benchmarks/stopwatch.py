"""Medians of runs that take turns, so that what else the machine does falls on all alike; and a table of ratios."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

REPEATS = 5
clock = time.perf_counter


def count_processor_time() -> None:
    """Seconds of all threads from now on, whatever else the machine does: for one that is not quiet."""
    global clock
    clock = time.process_time


def medians(ways: Mapping[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, float]:
    """Seconds of each way, the median of so many runs; the ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = clock()
            way()
            seconds[name].append(clock() - start)
    return {name: statistics.median(runs) for name, runs in seconds.items()}


def row(what: str, ours: str, against: str, theirs: str, ratio: float, target: str, met: bool) -> tuple[str, ...]:
    return what, ours, against, theirs, f"{ratio:.3g}", target, "yes" if met else "NO"


def table(rows: list[tuple[str, ...]]) -> str:
    """Markdown."""
    head = ("what", "ours", "against", "theirs", "ratio", "target", "met")
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
