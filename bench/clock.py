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


def table(
    figures: Mapping[str, Sequence[float]], goals: Mapping[str, str], floors: Mapping[str, str] | None = None
) -> str:
    """Return the medians as a table in Markdown, each with its goal and the figure that nothing could be below.

    Args:
        figures: the times by what was measured.
        goals: by what was measured.
        floors: what else was measured that is the floor of it, such as the same programs started bare.
    """
    lines = ["| what | median s | floor s | runs | goal |", "|---|---|---|---|---|"]
    medians = {name: statistics.median(runs) for name, runs in figures.items()}
    for name, runs in figures.items():
        floor = medians.get((floors or {}).get(name, ""))
        beside = f"{floor:.3f} ({medians[name] / floor:.1f} times)" if floor else ""
        lines.append(f"| {name} | {medians[name]:.3f} | {beside} | {len(runs)} | {goals.get(name, '')} |")
    return "\n".join(lines)
