"""The service beside what else one would write it with: FastAPI, Flask and Express, in one run.

    ./inv bench.service
    .venv/bin/python -m bench.service [--service FOLDER] [--rounds N] [--seconds S] [--only MEASURE ...] [--soak]

Every candidate serves the same two paths on 127.0.0.1 from one process: /health, which touches nothing, and
/health/all, which says whether PostgreSQL and Redis work. The service knows that from its probes in the background; the
peers ask at each request, through a pool and with a timeout, as their communities do. A figure is the median of its
rounds, in which the candidates take turns; behind it in brackets is how many times ours it is, the median of the
rounds' ratios.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench import service_measures as measures
from bench import service_soak
from bench.clock import machine
from bench.service_candidates import OURS, RIVALS, Candidate, NotRunError, candidates
from bench.service_load import missing
from bench.service_servers import Servers, servers
from stackhand.system import ports
from stackhand.system.roots import CONTENT as ROOT

FIRST_PORT = 24100
"""Below those that the kernel hands out, so that no connection of the load has one of ours."""
ROUNDS, SECONDS = 3, 4
NEVER = "never"

Measure = Callable[[Sequence[Candidate], Servers, int, int], measures.Figures]
RESTING: dict[str, tuple[str, Measure]] = {
    "starts": ("Start to the first 200 of /health", lambda all_, _s, _r, _n: measures.starts(all_)),
    "memory": ("Memory of the process tree", lambda all_, _s, _r, n: measures.memory(all_, n)),
}
"""What is measured of candidates that do not run yet, by name, with its heading."""
RUNNING: dict[str, tuple[str, Measure]] = {
    "health": ("/health, 16 connections", lambda all_, _s, r, n: measures.throughput(all_, "/health", 16, r, n)),
    "all": ("/health/all, 16 connections", lambda all_, _s, r, n: measures.throughput(all_, "/health/all", 16, r, n)),
    "black-hole": (
        "/health, 64 connections, while PostgreSQL and Redis accept connections and say nothing",
        lambda all_, s, r, n: measures.black_hole(all_, s, 64, r, n),
    ),
    "recovery": (
        "A dependency's return to a /health/all that passes",
        lambda all_, s, r, _n: measures.recovery(all_, s, r),
    ),
}
"""What is measured of candidates that run, by name, with its heading."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print tables in Markdown."""
    given = _given(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    if missing():
        print(f"Not installed: {', '.join(missing())}. On Debian and Ubuntu: apt-get install {' '.join(missing())}")
        return 1
    names = ("postgres", "cache", OURS, *RIVALS)
    taken = list(ports.free_block({name: FIRST_PORT + number for number, name in enumerate(names)}).values())
    with servers(*taken[:2]) as both:
        everyone, why_not = candidates(taken[2:], both.environment, given.service.resolve())
        try:
            print(f"{machine()}, load average {os.getloadavg()[0]:.1f}", flush=True)
            if given.soak:
                service_soak.soak(everyone[0], both)
            else:
                _measure(everyone, why_not, both, given)
        except (NotRunError, TimeoutError, psutil.Error, subprocess.SubprocessError) as error:
            print(f"not finished: {error}", file=sys.stderr)
            return 1
        finally:
            for each in everyone:
                each.stop()
    return 0


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.service")
    parser.add_argument("--service", type=Path, default=ROOT, help="the folder that holds the package service")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each round")
    parser.add_argument("--only", nargs="+", choices=[*RESTING, *RUNNING], default=[*RESTING, *RUNNING])
    parser.add_argument("--soak", action="store_true", help="only the minute at a fixed rate, of the service alone")
    return parser.parse_args(arguments)


def _measure(everyone: list[Candidate], why_not: dict[str, str], both: Servers, given: argparse.Namespace) -> None:
    _leave_out_broken(everyone, why_not)
    for name in (name for name in RESTING if name in given.only):
        heading, act = RESTING[name]
        print(table(heading, act(everyone, both, given.rounds, given.seconds), why_not), flush=True)
    with _running(everyone):
        for name in (name for name in RUNNING if name in given.only):
            heading, act = RUNNING[name]
            print(table(heading, act(everyone, both, given.rounds, given.seconds), why_not), flush=True)


def _leave_out_broken(everyone: list[Candidate], why_not: dict[str, str]) -> None:
    """Keep who starts and passes.

    Raises:
        NotRunError: ours does not.
    """
    for each in list(everyone):
        try:
            each.start("/health/all")
        except NotRunError as error:
            if each.name == OURS:
                raise
            why_not[each.name] = str(error)
            everyone.remove(each)
        each.stop()


@contextmanager
def _running(everyone: Sequence[Candidate]) -> Iterator[None]:
    """All candidates run meanwhile; who is not asked waits."""
    for each in everyone:
        each.start("/health/all")
    try:
        yield
    finally:
        for each in everyone:
            each.stop()


def table(heading: str, figures: measures.Figures, why_not: Mapping[str, str]) -> str:
    """Return the medians as a table in Markdown, ours first, each with its ratio to ours."""
    ours = figures[OURS]
    lines = ["", f"{heading}:", "", f"| | {' | '.join(ours)} |", f"|---|{'---|' * len(ours)}"]
    for name, values in figures.items():
        cells = [_cell(values[measure], ours[measure], is_ours=name == OURS) for measure in ours]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [f"| {name} | not run: {why} |{' |' * (len(ours) - 1)}" for name, why in why_not.items()]
    return "\n".join(lines)


def _cell(values: Sequence[float], ours: Sequence[float], *, is_ours: bool) -> str:
    text = _number(statistics.median(values))
    ratio = None if is_ours or text == NEVER else measures.median_ratio(values, ours)
    return text if ratio is None else f"{text} ({_number(ratio)})"


def _number(value: float) -> str:
    """Return a figure with as many digits as it deserves."""
    if math.isinf(value):
        return NEVER
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
