"""waitress, with a fast path that never waits, deadlines for slow clients, and an end that loses no request."""

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

from service.http import capacity, limits
from service.http.channel import Channel
from service.http.dispatch import Dispatcher
from service.http.lane import Lane

log = structlog.get_logger()

LOOK = 0.05
"""Seconds between two looks at whether all requests have ended."""
TIDY_EVERY = 1.0
"""Seconds between two looks at who has had his time."""
ACCEPTED_AT_ONCE = 64
"""Connections taken between two rounds of the loop, each of which costs as much as there are connections."""
NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
TOLD_EVERY = 60.0
"""Seconds between two lines in the log about connections that made room."""


class Server(TcpWSGIServer):  # type: ignore[misc] # waitress has no types
    """Listens at one address.

    Args:
        application: WSGI.
        host: to listen at.
        port: to listen at.
        threads: requests at once that are not answered from memory.
        at_once: whether a path is answered from memory.
        lane: answers the usual ones of these.
        rules: what a request is judged by at the end of its header.
        refused: told of each request that never reached the application: status, code, request id, client.
    """

    channel_class = Channel

    def __init__(
        self,
        application: Any,
        *,
        host: str,
        port: int,
        threads: int,
        at_once: Callable[[str], bool],
        lane: Lane,
        rules: limits.Rules,
        refused: Callable[[int, str, str, str], None] = lambda *_: None,
    ) -> None:
        self.draining = False
        self.rules = rules
        self.refused = refused
        self._ended = threading.Event()
        self._room = capacity.connections()
        self._tidy_at = self._tell_at = self._accept_from = 0.0
        self._made_room = 0
        self._starved = False
        dispatcher = Dispatcher(at_once, lane, threads, self._room)
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
        """Wake the loop; it needs that of others only."""
        if threading.get_ident() != self.task_dispatcher.loop_thread:
            super().pull_trigger()

    def readable(self) -> bool:
        """Whether to accept; not for a moment after there was no descriptor for one more."""
        is_room = len(self.active_channels) < self._room and time.monotonic() >= self._accept_from
        return bool(self.accepting and is_room)

    def handle_accept(self) -> None:
        """Accept all who wait, as far as there is room: it is made between two rounds of the loop."""
        for _ in range(ACCEPTED_AT_ONCE):
            if len(self.active_channels) >= self._room:
                return
            try:
                accepted = self.accept()
                if accepted is None:
                    return
                self.set_socket_options(accepted[0])
            except OSError as error:
                # The client has gone; or there is no descriptor, and the same connection would be reported for ever.
                if error.errno in NO_DESCRIPTOR:
                    self._accept_from, self._starved = time.monotonic() + LOOK, True
                continue
            self.channel_class(self, accepted[0], accepted[1], self.adj, map=self._map)

    def _tidy(self, now: float) -> None:
        """Close whoever is overdue, activity alone being no progress, and whoever makes room.

        At once, not with the next write: who does not read is never ready for that.
        """
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_EVERY
            for channel in list(self.active_channels.values()):
                if channel.is_overdue(now):
                    channel.handle_close()
        spare = min(ACCEPTED_AT_ONCE, self._room // 4)
        missing = spare if self._starved else len(self.active_channels) + spare - self._room
        self._starved = False
        if missing > 0:
            for channel in capacity.expendable(self.active_channels.values(), missing, now):
                channel.handle_close()
                self._made_room += 1
        if self._made_room and now >= self._tell_at:
            self._tell_at = now + TOLD_EVERY
            log.warning("idle connections closed for new ones", closed=self._made_room, room=self._room)
            self._made_room = 0

    def stop_accepting(self) -> None:
        """Refuse new connections, and close each one after the answer it waits for."""
        self.draining = True

        def stop() -> None:
            self.accepting = False
            self.del_channel()  # the loop asks it no more
            self.socket.close()
            for channel in list(self.active_channels.values()):
                if not channel.busy and channel.request is None:
                    channel.will_close = True

        self.trigger.pull_trigger(stop)

    def wait_until_done(self, deadline: float) -> bool:
        """Return whether all requests were answered before `deadline`, on the monotonic clock."""
        while time.monotonic() < deadline:
            channels = list(self.active_channels.values())
            if not self.task_dispatcher.busy and not any(channel.busy for channel in channels):
                return True
            time.sleep(LOOK)
        return False

    def end(self) -> None:
        """Have `run` return."""
        self._ended.set()
        super().pull_trigger()
