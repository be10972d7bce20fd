"""A minute at 500 requests a second of the service alone, with PostgreSQL restarted twice.

python -m bench.service --soak
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping

from bench.service_candidates import Candidate
from bench.service_load import Rate, expected, hey, parse_hey
from bench.service_servers import Servers, wait_until

SECONDS = 60
RATES = {"/health": (45, 10.0), "/health/all": (5, 10.0)}
"""By path: connections, and requests a second on each."""
GIVES_UP = 5
HISTORY, UNCACHED = "/api/history?component=db", "/api/incidents?before=1-1"
RESTARTS = (20.0, 40.0)
AWAY = 3.0
"""Seconds that PostgreSQL is away each time."""
MEMORY = "RSS MB"
MORE_MEMORY = 1.1
LONGEST = 2000.0
"""Milliseconds; an answer that takes longer hung."""


def soak(service: Candidate, servers: Servers) -> None:
    """Run the minute and print what was seen.

    Raises:
        TimeoutError: it does not recover.
    """
    service.start("/health/all")
    wait_until(service.passes, "the service passes")
    wait_until(lambda: _has_history(service), "the first samples are written")
    before = holdings(service)
    askers = {
        path: hey(service.url(path), connections, rate, seconds=SECONDS, timeout=GIVES_UP)
        for path, (connections, rate) in RATES.items()
    }
    try:
        _restart_twice(servers)
        seen = {path: _said(path, asker) for path, asker in askers.items()}
    finally:
        for asker in askers.values():
            asker.kill()
    recovered = wait_until(service.passes, "the service passes again")
    wait_until(lambda: _has_history(service), "the history is read again")
    after = holdings(service)
    print(_report(seen, before, after, recovered), flush=True)


def holdings(service: Candidate) -> dict[str, float]:
    """Return what a process holds: threads, connections, open files and resident memory in MB."""
    tree = service.tree()
    return {
        "threads": sum(each.num_threads() for each in tree),
        "connections": sum(len(each.net_connections("tcp")) for each in tree),
        "open files": sum(each.num_fds() for each in tree),
        MEMORY: sum(each.memory_info().rss for each in tree) / 1e6,
    }


def _has_history(service: Candidate) -> bool:
    """Whether it has written samples, and read from the database: over connections of their own, which it keeps."""
    try:
        asked = [urllib.request.urlopen(service.url(path), timeout=GIVES_UP) for path in (UNCACHED, HISTORY)]
        return bool([json.loads(answer.read()) for answer in asked][-1]["uptime"]["samples"])
    except OSError:  # a 503 is one, too
        return False


def _restart_twice(servers: Servers) -> None:
    began = time.monotonic()
    for moment in RESTARTS:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        servers.postgres.stop()
        time.sleep(AWAY)
        servers.postgres.start()


def _said(path: str, asker: subprocess.Popen[str]) -> Rate:
    connections, rate = RATES[path]
    try:
        text, _ = asker.communicate(timeout=2 * SECONDS)
    except subprocess.TimeoutExpired:
        asker.kill()
        text, _ = asker.communicate()
    return parse_hey(text.splitlines(), expected(connections, rate, SECONDS))


def _report(seen: Mapping[str, Rate], before: Mapping[str, float], after: Mapping[str, float], recovered: float) -> str:
    lines = ["", "| path | answers | of | codes | p50 ms | p99 ms | longest ms |", "|---|---|---|---|---|---|---|"]
    for path, rate in seen.items():
        codes = ", ".join(f"{code}: {number}" for code, number in sorted(rate.codes.items()))
        times = f"{rate.p50:.1f} | {rate.p99:.1f} | {rate.longest:.0f}"
        lines.append(f"| {path} | {rate.codes.total()} | {rate.number} | {codes} | {times} |")
    lines += ["", "| | at the start | at the end |", "|---|---|---|"]
    lines += [f"| {name} | {before[name]:.0f} | {after[name]:.0f} |" for name in before]
    faults = [*verdict(seen), *growth(before, after)]
    lines += ["", f"It passed {recovered:.1f} s after the last request. " + (" ".join(faults) or "No fault was seen.")]
    return "\n".join(lines)


def verdict(seen: Mapping[str, Rate]) -> list[str]:
    """Return a sentence on everything that must not be: an answer of /health other than 200, or none at all."""
    faults = []
    health = seen["/health"]
    wrong = health.codes.total() - health.codes[200]
    if wrong:
        faults.append(f"/health was not 200 {wrong} times.")
    for path, rate in seen.items():
        lost = rate.number - rate.codes.total()
        if lost:
            faults.append(f"{path} was not answered {lost} times.")
        elif rate.longest > LONGEST:
            faults.append(f"{path} took {rate.longest:.0f} ms once.")
    return faults


def growth(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Return a sentence on everything of which the process holds more than at the start, memory with some tolerance."""
    return [
        f"{name} grew from {held:.0f} to {after[name]:.0f}."
        for name, held in before.items()
        if after[name] > held * (MORE_MEMORY if name == MEMORY else 1)
    ]


if __name__ == "__main__":
    from bench.service import main

    sys.exit(main(["--soak"]))
