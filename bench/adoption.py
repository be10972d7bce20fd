"""How long it takes to adopt Stackhand: from a wheel to the table of init, and to healthy servers.

    ./inv bench.adoption

The package cache is warm after a first installation that is not counted; "bare" installs the packages of the same lock
with uv and does nothing else, which is the floor of what `./inv` does first.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench.clock import clock, machine, table
from tests import installed
from tests.checkout import clean_environment

RUNS = 3
UP, BARE = "./inv up after init, embedded, to healthy", "bare: uv installs the packages of that lock"
GOALS = {
    "uvx: from the command to the table of init": "3 s",
    UP: "8 s",
    "wheel, MB": "2",
}
COMPOSE = """
services:
  web:
    image: nginx:1.30-alpine
    volumes: ["./pages:/usr/share/nginx/html"]
    ports: ["8080"]
    depends_on: [db, cache]
  db: {image: "postgres:16-alpine", environment: {POSTGRES_PASSWORD: shop}}
  cache: {image: "redis:7-alpine"}
"""


def main() -> None:
    """Measure, and print a table in Markdown."""
    folder = Path(tempfile.mkdtemp(prefix="sh-bench-"))
    folder.chmod(0o755)
    try:
        figures = measure(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{machine()}\n\n{table(figures, GOALS, {UP: BARE})}")
    up, bare = (statistics.median(figures[name]) for name in (UP, BARE))
    print(f"\n./inv up after init takes {up / bare:.1f} times as long as the bare installation.")


def measure(folder: Path) -> dict[str, list[float]]:
    """Return the times in seconds by what was measured, and the size of the wheel."""
    installed.build(folder / "dist")
    wheel = next((folder / "dist").glob("*.whl"))
    once(folder / "first", wheel)  # fills the cache
    found = [once(folder / f"run{number}", wheel) for number in range(RUNS)]
    times = {name: [each[name] for each in found] for name in found[0]}
    return {**times, "wheel, MB": [wheel.stat().st_size / 1e6]}


def once(folder: Path, wheel: Path) -> dict[str, float]:
    """Adopt a project, and return the times by what was measured."""
    root, bare = folder / "shop", folder / "bare"
    (root / "pages").mkdir(parents=True)
    (root / "pages" / "index.html").write_text("<p>A page", encoding="utf-8")
    (root / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    init = (installed.UV, "tool", "run", "--from", str(wheel), "stackhand", "init", "--yes")
    install = (installed.UV, "pip", "install", "-q", "--require-hashes", "-r", "stackhand.lock")
    up = ("./inv", "up", "--engine", "embedded")
    into = ("--python", str(bare / "bin" / "python"))
    try:
        found = {
            "uvx: from the command to the table of init": clock(lambda: run(root, *init)),
            UP: clock(lambda: run(root, *up)),
        }
        run(root, installed.UV, "venv", "-q", str(bare))
        return {**found, BARE: clock(lambda: run(root, *install, *into))}
    finally:
        run(root, "./inv", "down", "--volumes", "--yes")
        shutil.rmtree(folder)


def run(root: Path, *args: str) -> None:
    """Run a program in a project, to its end."""
    subprocess.run(args, cwd=root, env=clean_environment(), check=True, capture_output=True)


if __name__ == "__main__":
    main()
