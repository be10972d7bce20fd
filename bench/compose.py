"""How long the verbs take on containers, beside the bare `docker compose` on the same file and engine.

    ./inv bench.compose

The two take turns, so that a slow minute of the machine is slow for both. "ten-second checks" is the same stack with
the health checks most templates have: every ten seconds and nothing in between.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.clock import RUNS, clock, machine, table, times
from tests.checkout import Checkout, clean_environment

TURNS = {
    "up from stopped": ("bare: up --detach --wait from stopped", 0.5),
    "up when already healthy": ("bare: up --detach --wait when healthy", 0.3),
    "down": ("bare: down", 0.4),
}
TEMPLATE = "bare: from stopped, ten-second checks"


def main() -> None:
    """Measure, and print a table in Markdown."""
    place = Path(tempfile.mkdtemp(prefix="sh-bench-"))
    checkout = Checkout.make(place / "shop", engine="compose")
    try:
        figures = measure(checkout)
    finally:
        checkout.inv("down", "--volumes", "--yes")
        shutil.rmtree(place, ignore_errors=True)
    floors = {name: bare for name, (bare, _) in TURNS.items()}
    goals = {name: f"at most {more:g} s more than bare" for name, (_, more) in TURNS.items()}
    print(f"{machine()}\n\n{table(figures, goals, floors)}\n")
    for name, (bare, more) in TURNS.items():
        gaps = [ours - theirs for ours, theirs in zip(figures[name], figures[bare], strict=True)]
        ratio = statistics.median(figures[name]) / statistics.median(figures[bare])
        print(f"{name}: {ratio:.2f} times bare, {statistics.median(gaps):+.2f} s (goal: at most {more:+.2f} s)")
    ratio = statistics.median(figures["up from stopped"]) / statistics.median(figures[TEMPLATE])
    print(f"up from stopped takes {ratio:.2f} times as long as bare with ten-second checks.")


def measure(checkout: Checkout) -> dict[str, list[float]]:
    """Return the times by what was measured."""
    found: dict[str, list[float]] = {each: [] for name, (bare, _) in TURNS.items() for each in (name, bare)}
    checkout.inv("up")  # builds
    for _ in range(RUNS):
        found["up when already healthy"].append(clock(lambda: checkout.inv("up")))
        found["down"].append(clock(lambda: checkout.inv("down")))
        found["bare: up --detach --wait from stopped"].append(clock(lambda: compose(checkout, "up", "-d", "--wait")))
        found["bare: up --detach --wait when healthy"].append(clock(lambda: compose(checkout, "up", "-d", "--wait")))
        found["bare: down"].append(clock(lambda: compose(checkout, "down")))
        found["up from stopped"].append(clock(lambda: checkout.inv("up")))
    checkout.inv("down")
    file = checkout.path / "docker-compose.yml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"^  start_(period|interval): .*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    found[TEMPLATE] = []
    for _ in range(2):
        found[TEMPLATE] += times(lambda: compose(checkout, "up", "-d", "--wait"), 1)
        compose(checkout, "down")
    file.write_text(text, encoding="utf-8")
    return found


def compose(checkout: Checkout, *words: str) -> None:
    """Run docker compose on the checkout, with what `./inv` would have told it."""
    environment = {"COMPOSE_PROJECT_NAME": checkout.name, **clean_environment()}
    command = ["docker", "compose", *words]
    said = subprocess.run(command, cwd=checkout.path, env=environment, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {said.stderr}")


if __name__ == "__main__":
    os.environ.pop("COMPOSE_FILE", None)
    sys.exit(main())
