"""waitress with a fast path that never waits, time limits for slow clients, and a shutdown that loses no request."""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from waitress import wasyncore
from waitress.server import TcpWSGIServer

from service.http import limits
from service.http.channel import Channel
from service.http.dispatch import Dispatcher
from service.http.fast_path import FastPath

log = structlog.get_logger()

POLLING_INTERVAL = 0.05
"""Seconds between checks whether all requests have ended."""
TIDY_INTERVAL = 1.0
"""Seconds between checks for overdue connections."""
ACCEPTED_AT_ONCE = 64
"""Connections accepted per round of the loop; the cost of a round grows with the number of connections."""
NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
LOG_INTERVAL = 60.0
"""Seconds between log lines about connections closed for new ones."""


class Server(TcpWSGIServer):  # type: ignore[misc] # waitress has no types
    """The HTTP server of one address.

    Args:
        application: WSGI.
        host: to listen on.
        port: to listen on.
        threads: number of concurrent requests that memory cannot answer.
        from_memory: whether a path is answered from memory.
        fast_path: answers the plain requests among these.
        rules: for a request at the end of its header.
        refused: receives status, code, request id and client of each request that does not reach the application.
    """

    channel_class = Channel

    def __init__(
        self,
        application: Any,
        *,
        host: str,
        port: int,
        threads: int,
        from_memory: Callable[[str], bool],
        fast_path: FastPath,
        rules: limits.Rules,
        refused: Callable[[int, str, str, str], None] = lambda *_: None,
    ) -> None:
        self.draining = False
        self.rules = rules
        self.refused = refused
        self._ended = threading.Event()
        self._room = limits.connections()
        self._tidy_at = self._log_at = self._accept_from = 0.0
        self._made_room = 0
        self._starved = False
        dispatcher = Dispatcher(from_memory, fast_path, threads, self._room)
        adj = limits.adjustments(host=host, port=port, threads=threads, connection_limit=sys.maxsize)
        super().__init__(application, dispatcher=dispatcher, adj=adj)
        dispatcher.set_thread_count(threads)

    def run(self) -> None:
        """Answer requests until `end`."""
        self.task_dispatcher.loop_thread = threading.get_ident()
        while not self._ended.is_set():
            self._tidy(time.monotonic())
            wasyncore.loop(timeout=self.adj.asyncore_loop_timeout, map=self._map, use_poll=True, count=1)

    def pull_trigger(self) -> None:
        """Wake the loop, unless it is the caller."""
        if threading.get_ident() != self.task_dispatcher.loop_thread:
            super().pull_trigger()

    def readable(self) -> bool:
        """Whether to accept; not for a moment after the process ran out of descriptors."""
        has_room = len(self.active_channels) < self._room and time.monotonic() >= self._accept_from
        return bool(self.accepting and has_room)

    def handle_accept(self) -> None:
        """Accept waiting clients while there is room; the loop makes room between two rounds."""
        for _ in range(ACCEPTED_AT_ONCE):
            if len(self.active_channels) >= self._room:
                return
            try:
                accepted = self.accept()
                if accepted is None:
                    return
                self.set_socket_options(accepted[0])
            except OSError as error:
                # The client is gone; or no descriptor is free, and the loop would report the connection for ever.
                if error.errno in NO_DESCRIPTOR:
                    self._accept_from, self._starved = time.monotonic() + POLLING_INTERVAL, True
                continue
            self.channel_class(self, accepted[0], accepted[1], self.adj, map=self._map)

    def _tidy(self, now: float) -> None:
        """Close overdue connections, however active, and those that make room for new ones.

        It closes them at once: a client that does not read never becomes writable.
        """
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_INTERVAL
            for channel in list(self.active_channels.values()):
                if channel.is_overdue(now):
                    channel.handle_close()
        spare = min(ACCEPTED_AT_ONCE, self._room // 4)
        missing = spare if self._starved else len(self.active_channels) + spare - self._room
        self._starved = False
        if missing > 0:
            for channel in limits.expendable(self.active_channels.values(), missing, now):
                channel.handle_close()
                self._made_room += 1
        if self._made_room and now >= self._log_at:
            self._log_at = now + LOG_INTERVAL
            log.warning("idle connections closed for new ones", closed=self._made_room, room=self._room)
            self._made_room = 0

    def stop_accepting(self) -> None:
        """Refuse new connections, and close each existing one after its current answer."""
        self.draining = True

        def stop() -> None:
            self.accepting = False
            self.del_channel()  # removes it from the loop
            self.socket.close()
            for channel in list(self.active_channels.values()):
                if not channel.busy and channel.request is None:
                    channel.will_close = True

        self.trigger.pull_trigger(stop)

    def wait_until_done(self, deadline: float) -> bool:
        """Return whether all requests ended before `deadline`, on the monotonic clock."""
        while time.monotonic() < deadline:
            channels = list(self.active_channels.values())
            if not self.task_dispatcher.busy and not any(channel.busy for channel in channels):
                return True
            time.sleep(POLLING_INTERVAL)
        return False

    def end(self) -> None:
        """Make `run` return."""
        self._ended.set()
        super().pull_trigger()
