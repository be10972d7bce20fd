"""Outages of a dependency, and when each candidate says so: all are watched, so that each sees the same ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from bench.service_candidates import Candidate
from bench.service_servers import Server, wait_until

ASK_EVERY = 0.02
NOTICED_WITHIN, PASSED_WITHIN = 30.0, 60.0
STEADY = 5
"""Answers in a row that pass until a candidate counts as recovered: a pool may have broken connections left."""


def outages(server: Server) -> Iterable[tuple[str, Callable[[], None], Callable[[], None]]]:
    """Return what may happen to a server: in words, what begins it, and what ends it at the moment it serves again."""
    return ("hangs", server.freeze, server.thaw), ("killed", server.kill, server.start)


class Outage:
    """One outage, as everyone saw it.

    Args:
        everyone: candidates that run and pass.
    """

    def __init__(self, everyone: Sequence[Candidate]) -> None:
        self.noticed: dict[str, float] = {}
        self.passed: dict[str, float] = {}
        self._watchers = [Watcher(each.passes) for each in everyone]
        self._names = [each.name for each in everyone]

    def run(self, gone: Callable[[], None], back: Callable[[], None], longer: float) -> None:
        """Have it happen, and note the seconds; infinity where a candidate never said so, or never passed again.

        Args:
            gone: begins it.
            back: ends it, and returns when the server serves.
            longer: seconds for which it lasts after everyone has noticed.
        """
        for each in self._watchers:
            each.start()
        try:
            began = time.perf_counter()
            gone()
            try:
                _all(self._watchers, lambda each: each.failed_after(began) < float("inf"), NOTICED_WITHIN)
                time.sleep(longer)
            finally:
                back()
            ended = time.perf_counter()
            _all(self._watchers, lambda each: each.steady_after(ended) < float("inf"), PASSED_WITHIN)
        finally:
            for each in self._watchers:
                each.stop()
        for name, each in zip(self._names, self._watchers, strict=True):
            self.noticed[name] = each.failed_after(began) - began
            self.passed[name] = each.steady_after(ended) - ended


class Watcher:
    """Asks one candidate again and again, in a thread of its own.

    Args:
        passes: asks once.
    """

    def __init__(self, passes: Callable[[], bool]) -> None:
        self._passes = passes
        self._answers: list[tuple[float, bool]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask_forever, daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the answer that is under way."""
        self._stopping.set()
        self._thread.join()

    def failed_after(self, moment: float) -> float:
        """Return when the first answer came that did not pass; infinity where all did."""
        return next((at for at, passed in list(self._answers) if at > moment and not passed), float("inf"))

    def steady_after(self, moment: float) -> float:
        """Return when the first of the answers came that have all passed since, STEADY at least; else infinity."""
        later = [(at, passed) for at, passed in list(self._answers) if at > moment]
        failed = max((number for number, (_, passed) in enumerate(later) if not passed), default=-1)
        rest = later[failed + 1 :]
        return rest[0][0] if len(rest) >= STEADY else float("inf")

    def _ask_forever(self) -> None:
        while not self._stopping.wait(ASK_EVERY):
            passed = self._passes()
            self._answers.append((time.perf_counter(), passed))


def _all(watchers: Sequence[Watcher], condition: Callable[[Watcher], bool], seconds: float) -> None:
    """Wait until a condition holds for all, for so many seconds at most: who is missing then has infinity."""
    try:
        wait_until(lambda: all(map(condition, watchers)), "all have said so", seconds)
    except TimeoutError:
        return
