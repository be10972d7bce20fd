"""Compare two checkouts on one machine: how long the local verbs of the second take beside those of the first.

    python3 bench/compare.py BEFORE AFTER

Needs nothing but Python. The two take turns, so that a slow minute of the machine is slow for both, and only ratios
count. It ends with 1 when a verb became slower by more than a generous margin, for what other programs do meanwhile is
in each figure.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 7
MARGIN = 1.4
FIRST = "first up, with installation"
VERBS = {
    "up from stopped": ("up", "--engine", "embedded"),
    "up when already healthy": ("up",),
    "status --json": ("status", "--json"),
    "--list": ("--list",),
    "down": ("down",),
}
"""What is measured, in this order: each begins where the one before has ended."""
Figures = dict[str, list[float]]


def main() -> int:
    """Measure, print a table in Markdown, and return the exit code."""
    before, after = (Path(each).resolve() for each in sys.argv[1:3])
    figures: dict[Path, Figures] = {each: {} for each in (before, after)}
    try:
        for checkout, times in figures.items():
            times[FIRST] = [inv(checkout, "up", "--engine", "embedded")]
            inv(checkout, "down")  # the other one has the same ports
        for _ in range(ROUNDS):
            for checkout, times in figures.items():
                for name, words in VERBS.items():
                    times.setdefault(name, []).append(inv(checkout, *words))
    finally:
        for checkout in figures:
            inv(checkout, "down", "--volumes", "--yes")
    print("| what | before s | after s | ratio | runs |\n|---|---|---|---|---|")
    ratios = {name: row(name, figures[before][name], figures[after][name]) for name in (FIRST, *VERBS)}
    slower = [name for name in VERBS if ratios[name] > MARGIN]  # one installation, from a network, shows little
    if slower:
        print(f"\nmore than {MARGIN:g} times as long as before: {', '.join(slower)}")
    return 1 if slower else 0


def row(name: str, before: list[float], after: list[float]) -> float:
    """Print a row of the table, and return its ratio."""
    first, second = statistics.median(before), statistics.median(after)
    print(f"| {name} | {first:.3f} | {second:.3f} | {second / first:.2f} | {len(after)} |")
    return second / first


def inv(checkout: Path, *words: str) -> float:
    """Run a verb to its end, and return the seconds that it took."""
    began = time.perf_counter()
    done = subprocess.run(
        ["./inv", *words],
        cwd=checkout,
        env={key: value for key, value in os.environ.items() if not key.startswith("STACKHAND_")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f"{checkout}: ./inv {' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
