"""How long the verbs take on this machine, beside the same four programs started bare.

    ./inv bench.local

Each figure is the median of its runs, in seconds, from the start of the command to its end. "bare" starts the
very programs that `./inv up` starts, with nothing around them, and asks each until it is healthy: the rest is ours.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.clock import RUNS, clock, machine, table, times
from stackhand.local.engines import health
from stackhand.project.memory import HealthQuestion
from stackhand.system.roots import CONTENT as ROOT
from tests.checkout import Checkout, clean_environment, free_ports

GOALS = {
    "fresh clone, warm package cache, to healthy": 8.0,
    "up from stopped": 1.0,
    "up when already healthy": 0.2,
    "status --json": 0.15,
    "down": 0.6,
    "--list": 0.12,
    "what ./inv adds to a second call": 0.05,
}
BARE, STOPPED, INSTALLED = (
    "bare: the same programs",
    "bare: stopping them",
    "bare: uv installs the packages of the lock",
)
PYTHON = "bare: Python starts"
FRESH = 3
BARE_WITHIN = 20.0
"""Seconds for one program of the bare start, which takes a tenth of one."""
FLOORS = {
    "fresh clone, warm package cache, to healthy": INSTALLED,
    "up from stopped": BARE,
    "down": STOPPED,
    **dict.fromkeys(("up when already healthy", "status --json", "--list"), PYTHON),
}


def main() -> None:
    """Measure, and print a table in Markdown."""
    place = Path(tempfile.mkdtemp(prefix="sh-bench-"))
    place.chmod(0o755)
    try:
        figures = measure(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(f"{machine()}\n\n{table(figures, {name: f'{seconds:g} s' for name, seconds in GOALS.items()}, FLOORS)}")


def measure(place: Path) -> dict[str, list[float]]:
    """Return the times by what was measured."""
    found: dict[str, list[float]] = {}
    found["fresh clone, warm package cache, to healthy"] = [fresh(place / f"clone{n}") for n in range(FRESH)]
    found[INSTALLED] = [installed(place / f"bare{n}") for n in range(FRESH)]
    checkout = Checkout.make(place / "shop")
    checkout.inv("up")
    found["up when already healthy"] = times(lambda: checkout.inv("up"))
    found["status --json"] = times(lambda: checkout.inv("status", "--json"))
    found["--list"] = times(lambda: checkout.inv("--list"))
    found["what ./inv adds to a second call"] = door(checkout)
    found["down"], found["up from stopped"] = [], []
    for _ in range(RUNS):
        found["down"].append(clock(lambda: checkout.inv("down")))
        found["up from stopped"].append(clock(lambda: checkout.inv("up")))
    specs = stopped_with_files(checkout)
    found[BARE], found[STOPPED] = map(list, zip(*[bare(specs) for _ in range(RUNS)], strict=True))
    found[PYTHON] = times(lambda: subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True))
    return found


def stopped_with_files(checkout: Checkout) -> list[dict[str, Any]]:
    """Stop the stack, put back the files that its programs read, which `down` removes, and return them in order."""
    specs = [json.loads(path.read_text()) for path in (checkout.state / "services").glob("*.json")]
    order = json.loads((checkout.state / "state.json").read_text())["services"]
    kept = checkout.path.with_name("files")
    kept.mkdir()
    subprocess.run(["cp", "-a", str(checkout.state / "config"), str(checkout.state / "run"), str(kept)], check=True)
    checkout.inv("down")
    for name in ("config", "run"):
        shutil.rmtree(checkout.state / name, ignore_errors=True)
        (kept / name).rename(checkout.state / name)
    return sorted(specs, key=lambda spec: order.index(spec["name"]))


def installed(path: Path) -> float:
    """Return the time in which uv installs the packages into an empty environment: the floor of a first call."""
    uv, lock = Path(sys.prefix) / "bin" / "uv", ROOT / "requirements.lock"
    subprocess.run([uv, "venv", "-q", str(path)], check=True)
    os.sync()
    words = [uv, "pip", "install", "-q", "--require-hashes", "--python", str(path / "bin" / "python"), "-r", str(lock)]
    return clock(lambda: subprocess.run(words, check=True))


def fresh(path: Path) -> float:
    """Return the time from `git clone` to healthy."""
    ports = "".join(f"{key}={port}\n" for key, port in free_ports().items())

    def clone_and_up() -> None:
        subprocess.run(["git", "clone", "-q", str(ROOT), str(path)], check=True)
        (path / ".env").write_text(ports)
        subprocess.run(["./inv", "up"], cwd=path, env=clean_environment(), check=True, capture_output=True)

    os.sync()  # what was written or removed before is not its time
    seconds = clock(clone_and_up)
    words = ["./inv", "down", "--volumes", "--yes"]
    subprocess.run(words, cwd=path, env=clean_environment(), check=True, capture_output=True)
    return seconds


def door(checkout: Checkout) -> list[float]:
    """Return what a call costs beyond the Python that it becomes."""
    python = [str(checkout.path / ".venv" / "bin" / "python"), "-m", "stackhand", "--version"]
    direct = times(lambda: subprocess.run(python, cwd=checkout.path, check=True, capture_output=True), 15)
    through = times(lambda: checkout.inv("--version"), 15)
    return [max(0.0, after - before) for before, after in zip(sorted(direct), sorted(through), strict=True)]


def bare(specs: list[dict[str, Any]]) -> tuple[float, float]:
    """Start the programs one after the other, each when the one before is healthy, and stop them; return both times.

    Raises:
        SystemExit: one of them did not become healthy, or a job failed.
    """
    children: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        for spec in specs:
            children.append(child := begin(spec))
            if spec["ready"].get("kind", "process") == "process":  # a job: it has to end
                if child.wait(BARE_WITHIN) != 0:
                    raise SystemExit(f"bare: {spec['name']} ended with exit code {child.returncode}")
                continue
            deadline = time.monotonic() + BARE_WITHIN
            while not health.ask(msgspec.convert(spec["ready"], HealthQuestion)).healthy:
                if time.monotonic() > deadline:
                    raise SystemExit(f"bare: {spec['name']} was not healthy within {BARE_WITHIN} s")
                time.sleep(0.01)

    def stop() -> None:
        for child in reversed(children):
            child.send_signal(signal.SIGINT)
            child.wait()

    try:
        started = clock(start)
    except BaseException:
        stop()
        raise
    return started, clock(stop)


def begin(spec: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start the program of a service in its account, as supervisord would have it started."""
    account = spec["account"] or {}
    argv = [str(word) for word in [*account.get("prefix", ()), *spec["argv"]]]
    plain = bool(account) and not account["prefix"]  # a prefix takes on the account itself
    user = {"user": account["uid"], "group": account["gid"], "extra_groups": []} if plain else {}
    return subprocess.Popen(
        argv,
        cwd=spec["directory"],
        env=spec["environment"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **user,
    )


if __name__ == "__main__":
    sys.exit(main())
