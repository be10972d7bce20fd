"""How long something takes, several times."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

RUNS = 5


def clock(act: Callable[[], object]) -> float:
    """Return the seconds an act takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def times(act: Callable[[], object], runs: int = RUNS) -> list[float]:
    """Return the seconds of several runs."""
    return [clock(act) for _ in range(runs)]


def machine() -> str:
    """Return in words what these figures are of."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def table(figures: Mapping[str, Sequence[float]], goals: Mapping[str, str]) -> str:
    """Return the medians as a table in Markdown, each with its goal."""
    lines = ["| what | median s | runs | goal |", "|---|---|---|---|"]
    for name, runs in figures.items():
        lines.append(f"| {name} | {statistics.median(runs):.3f} | {len(runs)} | {goals.get(name, '')} |")
    return "\n".join(lines)
