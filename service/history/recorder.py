"""Take samples at a fixed interval, whatever happens to the servers that store them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping

import structlog

from service.history import samples, spool
from service.history.incidents import samples_needed
from service.history.samples import Sample
from service.history.writer import HistoryWriter
from service.settings import Settings

log = structlog.get_logger()

FLUSH_WITHIN = 60.0
"""Seconds after which a flush that waits for a server is aborted."""
STOP_RESERVE = 0.5
"""Seconds of `stop` reserved for aborting a flush that hangs."""


class Recorder:
    """Takes samples in one thread (history) and stores them in another (history-writer).

    The first thread never waits for a server. While the database is down, samples wait in memory and in Redis.

    Args:
        settings: of this process.
        read: returns the current sample of each component by name; must not wait.
        now: the wall clock, in seconds since the epoch. It gives the time of a sample; the monotonic clock measures
            pauses and timeouts.
        ready: whether the schema exists; until then samples wait.
        needed: samples in a row that open or close an incident; None: those of 30 s, at least 2.
        memory_rounds: maximum number of rounds in memory.
        stream_rounds: maximum number of rounds of all replicas in Redis.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Mapping[str, Sample]],
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
        self._writer = HistoryWriter(
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
        """Number of lost rounds: there was no room for them, or they arrived too late."""
        return self._spool.dropped + self._writer.refused

    @property
    def waiting(self) -> int:
        """Number of rounds of this process that are not in the database."""
        return self._spool.waiting

    def start(self) -> None:
        """Start taking and writing samples."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> bool:
        """Stop, and write the waiting rounds as time permits; return whether all are written.

        Args:
            timeout: seconds after which this returns, whatever hangs.
        """
        until = time.monotonic() + timeout
        self._stopping.set()
        sampling, writing = self._threads
        if writing.ident is not None:
            sampling.join(timeout / 2)  # so that the last flush includes the current round
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
        current = self._read()
        self._spool.add(samples.take(self.instance, self._sequence, self._now(), current.values()))
        self._sequence += 1

    def flush(self) -> bool:
        """Write the waiting rounds; return whether all are written. Only one thread at a time may call this."""
        self._flush_began = time.monotonic()
        try:
            return self._writer.flush()
        finally:
            self._flush_began = None

    def flush_now(self) -> bool:
        """Write the waiting rounds without waiting after earlier failures."""
        self._writer.backoff.skip()
        self._spool.backoff.skip()
        return self.flush()

    def close(self) -> None:
        """Close the connections. `stop` leaves this to the thread that uses them."""
        self._writer.close()
        self._spool.close()

    def _sample_forever(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            try:
                self.sample()
            except Exception:  # the next one may succeed
                log.exception("taking samples failed")
            self._wake.set()
            self._abort_hung_flush()
            due = max(due + self._interval, time.monotonic())  # no burst after the machine was suspended

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
            log.exception("writing samples failed")

    def _abort_hung_flush(self) -> None:
        """Abort a flush that no read timeout ends, because the server sends a byte now and then."""
        began = self._flush_began
        if began is not None and time.monotonic() - began > FLUSH_WITHIN:
            self._abort()

    def _abort(self) -> None:
        self._writer.abort()
        self._spool.abort()
