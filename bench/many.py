"""How long 34 services take: embedded beside the same programs started bare, on containers beside Compose.

    ./inv bench.many

Bare and ours take turns, and what counts is their ratio. "bare" starts all programs at once and asks each until it is
healthy.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.clock import clock, machine
from stackhand.local.engines import health
from stackhand.project.memory import HealthQuestion
from stackhand.system import roots
from tests.checkout import ROOT, clean_environment, free_ports

NUMBER = 34
TURNS = 5
SERVICE = """  service-{number}:
    image: python:3.13-alpine
    init: true
    command: python -m http.server 8000
    ports: ["127.0.0.1:{port}:8000"]
    x-health: /
    x-embedded: {{command: "python -m http.server --bind 127.0.0.1 $$PORT", working_dir: empty}}
"""


def main() -> None:
    """Measure, and print a table in Markdown."""
    place = Path(tempfile.mkdtemp(prefix="sh-many-"))
    place.chmod(0o755)
    (place / "empty").mkdir()
    first = free_ports()["WEB_PORT"]
    services = "".join(SERVICE.format(number=number, port=first + number) for number in range(NUMBER))
    (place / "compose.yaml").write_text(f"services:\n{services}", encoding="utf-8")
    try:
        figures = embedded(place) | containers(place)
    finally:
        inv(place, "down", "--volumes", "--yes")
        shutil.rmtree(place, ignore_errors=True)
    print(f"{machine()}\n\n| {NUMBER} services | least s | median s | runs |\n|---|---|---|---|")
    for name, runs in figures.items():
        print(f"| {name} | {min(runs):.2f} | {statistics.median(runs):.2f} | {len(runs)} |")
    for ours, theirs, goal in (("embedded: up", "bare", "1.5"), ("compose: up", "docker compose up --wait", "-")):
        least, median = (each(figures[ours]) / each(figures[theirs]) for each in (min, statistics.median))
        print(f"\n{ours} / {theirs}: {least:.2f} by the least, {median:.2f} by the medians (goal: {goal})")


def embedded(place: Path) -> dict[str, list[float]]:
    """Return the times on the embedded engine, and of its programs alone."""
    inv(place, "up", "--engine", "embedded")
    found: dict[str, list[float]] = {"embedded: status": [clock(lambda: inv(place, "status")) for _ in range(TURNS)]}
    specs = [json.loads(path.read_text()) for path in sorted((place / ".stackhand" / "services").glob("*.json"))]
    inv(place, "down")
    up: list[float] = []
    bare: list[float] = []
    for _ in range(TURNS):
        bare.append(together(specs))
        up.append(clock(lambda: inv(place, "up")))
        inv(place, "down")
    return found | {"bare": bare, "embedded: up": up}


def containers(place: Path) -> dict[str, list[float]]:
    """Return the times on the compose engine, and of Compose alone."""
    raw: Callable[..., Any] = lambda *words: subprocess.run(  # noqa: E731
        ["docker", "compose", *words], cwd=place, env=clean_environment(), check=True, capture_output=True
    )
    inv(place, "up", "--engine", "compose")
    status = [clock(lambda: inv(place, "status")) for _ in range(TURNS)]
    inv(place, "down")
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(TURNS):
        theirs.append(clock(lambda: raw("up", "--detach", "--wait")))
        raw("down")
        ours.append(clock(lambda: inv(place, "up")))
        inv(place, "down")
    return {"compose: status": status, "docker compose up --wait": theirs, "compose: up": ours}


def inv(place: Path, *words: str) -> None:
    """Run a verb of this checkout in the project."""
    environment = clean_environment(**{roots.VARIABLE: str(place)})
    args = [str(ROOT / ".venv" / "bin" / "python"), "-P", "-m", "stackhand", *words]
    done = subprocess.run(args, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {done.stdout}{done.stderr}")


def together(specs: list[dict[str, Any]]) -> float:
    """Start all programs at once, and return the seconds until each is healthy."""
    children: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        quiet = subprocess.DEVNULL
        for spec in specs:
            argv = [str(word) for word in spec["argv"]]
            children.append(
                subprocess.Popen(argv, cwd=spec["directory"], env=spec["environment"], stdout=quiet, stderr=quiet)
            )
        for spec in specs:
            while not health.ask(msgspec.convert(spec["ready"], HealthQuestion)).healthy:
                time.sleep(0.01)

    try:
        return clock(start)
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait()


if __name__ == "__main__":
    sys.exit(main())
