"""Taking samples at a steady pace, whatever happens to those who store them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping

import structlog

from service.history import samples, spool
from service.history.incidents import samples_needed
from service.history.samples import Reading
from service.history.writer import Writer
from service.settings import Settings

log = structlog.get_logger()

FLUSH_WITHIN = 60.0
"""Seconds after which a flush that still waits for a server is ended."""
STOP_RESERVE = 0.5
"""Seconds of `stop` that are left to end what does not end by itself."""


class Recorder:
    """Takes samples in one thread (history), and has another one (history-writer) store them.

    The first one never waits for a server. What it takes waits in memory and in Redis while the database is down.

    Args:
        settings: of this process.
        read: returns what is held true of each component now, by name; must not wait.
        now: the wall clock, in seconds since the epoch. Only the time of a sample comes from it; pauses and limits
            are measured on the monotonic clock, which no correction moves.
        ready: whether the schema is there; until then samples wait.
        needed: samples in a row that open or close an incident; None: as many as are taken in 30 s, at least 2.
        memory_rounds: rounds of samples that wait in memory at most.
        stream_rounds: rounds that wait in Redis at most, those of all replicas together.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Mapping[str, Reading]],
        *,
        now: Callable[[], float] = time.time,
        ready: Callable[[], bool] = lambda: True,
        needed: int | None = None,
        memory_rounds: int = spool.MEMORY_ROUNDS,
        stream_rounds: int = spool.STREAM_ROUNDS,
    ) -> None:
        self.instance = str(uuid.uuid4())
        self._interval = settings.sample_interval
        self._read = read
        self._now = now
        self._sequence = 0
        self._stopping = threading.Event()
        self._finish = threading.Event()
        self._give_up = threading.Event()
        self._wake = threading.Event()
        self._flush_began: float | None = None
        self._spool = spool.Spool(
            settings.cache, spool.key(settings.stack), memory_rounds=memory_rounds, stream_rounds=stream_rounds
        )
        self._writer = Writer(
            settings,
            self._spool,
            needed=needed or samples_needed(self._interval),
            now=now,
            ready=ready,
            stop=self._give_up.is_set,
        )
        self._threads = [
            threading.Thread(target=self._sample_forever, name="history", daemon=True),
            threading.Thread(target=self._write_forever, name="history-writer", daemon=True),
        ]

    @property
    def dropped(self) -> int:
        """Rounds of samples that were lost: there was no room for them, or they came after their time had passed."""
        return self._spool.dropped + self._writer.refused

    @property
    def waiting(self) -> int:
        """Rounds of this process that are not in the database."""
        return self._spool.waiting

    @property
    def written_at(self) -> float | None:
        """When the database took samples last, in seconds since the epoch; None: not yet."""
        return self._writer.written_at

    def start(self) -> None:
        """Begin to take samples, and to write them."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> bool:
        """Stop, and write what waits as far as there is time; return whether nothing waits any more.

        Args:
            timeout: seconds after which this returns, whatever hangs.
        """
        until = time.monotonic() + timeout
        self._stopping.set()
        sampling, writing = self._threads
        if writing.ident is not None:
            sampling.join(timeout / 2)  # the last flush must not miss a round that is being taken
            self._finish.set()
            self._wake.set()
            writing.join(max(0.0, until - STOP_RESERVE - time.monotonic()))
            self._give_up.set()
            if writing.is_alive():
                self._abort()
                writing.join(max(0.0, until - time.monotonic()))
        return self.waiting == 0

    def sample(self) -> None:
        """Take one round of samples."""
        readings = self._read()
        self._spool.add(samples.take(self.instance, self._sequence, self._now(), readings.values()))
        self._sequence += 1

    def flush(self) -> bool:
        """Write what waits; return whether nothing waits any more. Only one thread may do this at a time."""
        self._flush_began = time.monotonic()
        try:
            return self._writer.flush()
        finally:
            self._flush_began = None

    def flush_now(self) -> bool:
        """Write what waits, and do not wait because it failed before."""
        self._writer.backoff.skip()
        self._spool.backoff.skip()
        return self.flush()

    def close(self) -> None:
        """Close the connections; `stop` has this done by the thread that uses them."""
        self._writer.close()
        self._spool.close()

    def _sample_forever(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            try:
                self.sample()
            except Exception:  # the next one may succeed
                log.exception("no samples could be taken")
            self._wake.set()
            self._end_a_flush_that_hangs()
            due = max(due + self._interval, time.monotonic())  # after a pause of the machine, no burst to catch up

    def _write_forever(self) -> None:
        while not self._finish.is_set():
            self._wake.wait()
            self._wake.clear()
            if not self._finish.is_set():
                self._flush_safely(self.flush)
        self._flush_safely(self.flush_now)
        self.close()

    def _flush_safely(self, flush: Callable[[], bool]) -> None:
        try:
            flush()
        except Exception:  # the next one may succeed
            log.exception("samples could not be written")

    def _end_a_flush_that_hangs(self) -> None:
        """A server that drips keeps each read short, so that no timeout of a read ends it."""
        began = self._flush_began
        if began is not None and time.monotonic() - began > FLUSH_WITHIN:
            self._abort()

    def _abort(self) -> None:
        self._writer.abort()
        self._spool.abort()
