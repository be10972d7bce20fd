"""What is measured of every candidate; the candidates take turns, so that a slow minute is slow for all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.service_candidates import Candidate
from bench.service_load import Rate, expected, hey, parse_hey, wrk
from bench.service_outage import ASK_EVERY, Outage, outages
from bench.service_servers import Servers, wait_until

STARTS = 5
IDLE = 10.0
RATE, TIMEOUT = 5, 1
"""Of the clients of /health in a black hole: requests a second of each, and the seconds after which it gives one up."""
CHECKERS, CHECKER_PATIENCE = 4, 2
"""Who asks /health/all meanwhile: how many clients, and the seconds after which each gives up and asks again."""
BEAT = 2.0
"""Seconds between two looks of who looks by itself: outages end at different moments of it."""

Figures = dict[str, dict[str, list[float]]]
"""By candidate and measure: a value for each round."""


def throughput(everyone: Sequence[Candidate], path: str, connections: int, rounds: int, seconds: int) -> Figures:
    """Return how many requests a second each answers, how quickly, and what a request costs of a processor."""
    found: Figures = {each.name: {} for each in everyone}
    for each in everyone:
        wrk(each.url(path), connections, 1)  # the first requests pay for caches and just-in-time compilers
    for turn in range(rounds):
        for each in _turn(everyone, turn):
            before = each.cpu()
            load = wrk(each.url(path), connections, seconds)
            note(found, each, "req/s", load.rate)
            note(found, each, "p50 ms", load.p50)
            note(found, each, "p99 ms", load.p99)
            note(found, each, "CPU us/request", (each.cpu() - before) * 1e6 / max(1.0, load.rate * seconds))
            note(found, each, "failures", load.failures)
    return found


def black_hole(everyone: Sequence[Candidate], servers: Servers, connections: int, rounds: int, seconds: int) -> Figures:
    """Return how quickly /health is answered while no dependency is and checkers ask /health/all."""
    found: Figures = {each.name: {} for each in everyone}
    for turn in range(rounds):
        for each in _turn(everyone, turn):
            wrk(each.url("/health/all"), 16, 1)  # its pool is as full as traffic makes it
            with servers.frozen(), _checkers(each):
                time.sleep(CHECKER_PATIENCE)  # by now their first requests hang as long as they may
                rate = _at_fixed_rate(each, connections, seconds)
            note(found, each, "answered %", 100 * rate.codes[200] / rate.number)
            note(found, each, "p50 ms", rate.p50)
            note(found, each, "p99 ms", rate.p99)
            note(found, each, "passes again s", _revive(each))
    return found


def _at_fixed_rate(candidate: Candidate, connections: int, seconds: int) -> Rate:
    """Ask /health at a rate that every candidate can answer."""
    process = hey(candidate.url("/health"), connections, RATE, seconds=seconds, timeout=TIMEOUT)
    try:
        text, _ = process.communicate(timeout=RATE * seconds * TIMEOUT + 30)
    finally:
        process.kill()
    return parse_hey(text.splitlines(), expected(connections, RATE, seconds))


@contextmanager
def _checkers(candidate: Candidate) -> Iterator[None]:
    """Clients ask /health/all meanwhile, twice a second each, give up in time and ask again."""
    process = hey(candidate.url("/health/all"), CHECKERS, 2, seconds=600, timeout=CHECKER_PATIENCE)
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def memory(everyone: Sequence[Candidate], load: int) -> Figures:
    """Return what each holds of the memory: idle after its first answers, and idle after some load.

    Args:
        everyone: candidates that do not run; each runs alone, for pages that two share count half for each.
        load: seconds of requests over 16 connections.
    """
    found: Figures = {each.name: {} for each in everyone}
    for each in everyone:
        each.start()
        wait_until(each.passes, f"{each.name} passes")
        time.sleep(IDLE)
        note(found, each, "PSS MB, idle", pss(each.tree()))
        wrk(each.url("/health"), 16, load)
        wrk(each.url("/health/all"), 16, load)
        note(found, each, "PSS MB, after load", pss(each.tree()))
        note(found, each, "processes", len(each.tree()))
        note(found, each, "threads", sum(one.num_threads() for one in each.tree()))
        each.stop()
    return found


def pss(tree: Sequence[psutil.Process]) -> float:
    """Return the proportional set size of processes, in MB: a page that n processes share counts 1/n for each."""
    total = 0
    for each in tree:
        lines = Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


def starts(everyone: Sequence[Candidate]) -> Figures:
    """Return how long each takes from its start to its first 200 of /health."""
    found: Figures = {each.name: {} for each in everyone}
    for turn in range(STARTS + 1):
        for each in _turn(everyone, turn):
            seconds = each.start()
            if turn > 0:  # the first time the files come from the disk
                note(found, each, "start s", seconds)
            each.stop()
    return found


def recovery(everyone: Sequence[Candidate], servers: Servers, rounds: int) -> Figures:
    """Return how long after a dependency has gone, and after its return, each says so, by what had happened to it.

    It hangs as under SIGSTOP, or was killed by SIGKILL and restarted.
    """
    found: Figures = {each.name: {} for each in everyone}
    for turn in range(rounds):
        longer = BEAT * turn / rounds
        for name, server in (("PostgreSQL", servers.postgres), ("Redis", servers.cache)):
            for what, gone, back in outages(server):
                outage = Outage(everyone)
                outage.run(gone, back, longer)
                for each in everyone:
                    note(found, each, f"{name} {what}: noticed s", outage.noticed[each.name])
                    note(found, each, f"{name} {what}: passes s", outage.passed[each.name])
    return found


def _revive(candidate: Candidate) -> float:
    """Return the seconds until a candidate passes; infinity where it does not and had to be restarted."""
    try:
        return wait_until(candidate.passes, f"{candidate.name} recovers", pause=ASK_EVERY)
    except TimeoutError:
        candidate.stop()
        candidate.start("/health/all")
        return float("inf")


def _turn(everyone: Sequence[Candidate], turn: int) -> list[Candidate]:
    """Return the candidates in the order of a round: another one begins each time."""
    start = turn % len(everyone)
    return [*everyone[start:], *everyone[:start]]


def note(figures: Figures, candidate: Candidate, measure: str, value: float) -> None:
    """Add a round's value."""
    figures[candidate.name].setdefault(measure, []).append(value)


def median_ratio(theirs: Sequence[float], ours: Sequence[float]) -> float | None:
    """Return the median of the rounds' ratios; None where a round of ours is nothing."""
    if not ours or not all(ours) or float("inf") in ours:
        return None
    return statistics.median(mine / base for mine, base in zip(theirs, ours, strict=True))
