"""waitress, with a lane that never waits, deadlines for slow senders, and an end that loses no request."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from waitress import wasyncore
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask
from waitress.utilities import Error

from service.http import limits, problem
from service.http.correlation import request_id
from service.http.lane import Lane

log = structlog.get_logger()

WAITING = 25
"""Requests that may wait, for each thread; more are refused at once."""
LINGER = 2.0
"""Seconds that who was refused has to read why."""
LOOK = 0.05
"""Seconds between two looks at whether all requests have ended."""


class OverloadedError(Error):  # type: ignore[misc] # waitress has no types
    """There are more requests than threads could answer in time."""

    code = 503
    reason = "Service Unavailable"


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Hands requests to threads, but for those that are answered from memory: the loop answers these itself.

    So they are answered whatever the threads do. A request the parser refused is answered in the loop too.

    Args:
        at_once: whether the path of a request is answered from memory.
        lane: answers the usual ones of these.
    """

    def __init__(self, at_once: Callable[[str], bool], lane: Lane) -> None:
        super().__init__()
        self._at_once = at_once
        self._lane = lane
        self.loop_thread = 0

    def add_task(self, task: Channel) -> None:
        """See waitress. The caller may hold `task.requests_lock`."""
        if task.closing:
            # What came behind a request that was refused may be the second reading of the same bytes.
            task.requests.clear()
            return
        if task.total_outbufs_len > limits.UNREAD_BYTES:
            task.requests.clear()
            task.close_when_flushed = True
            return
        if threading.get_ident() == self.loop_thread:
            # Never in a thread of the pool: a hundred requests in a pipeline would be as many calls deep.
            request = task.requests[0]
            at_once = request.error is not None or self._at_once(request.path)
            if not at_once and len(self.queue) >= WAITING * len(self.threads):
                request.error, request.problem, at_once = OverloadedError("overloaded"), "overloaded", True
            if at_once:
                usual = request.error is None and not task.server.draining
                response = self._lane.respond(request) if usual else None
                if response is None:
                    task.service()
                else:
                    task.respond(response)
                return
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()

    @property
    def busy(self) -> bool:
        """Whether a thread is at work, or a request waits for one."""
        return bool(self.queue) or self.active_count > 0


class Task(WSGITask):  # type: ignore[misc]
    """One request; the last of its connection when the server is about to end."""

    def execute(self) -> None:
        """See waitress."""
        if self.channel.server.draining:
            self.set_close_on_finish()
        super().execute()


class Problem(ErrorTask):  # type: ignore[misc]
    """The answer to a request that never reached the application."""

    def execute(self) -> None:
        """Answer with a problem document, and write a line to the log, as the application would."""
        request, error = self.request, self.request.error
        status = HTTPStatus(error.code)
        headers = getattr(request, "headers", {})
        number = request_id({"HTTP_X_REQUEST_ID": headers.get("X_REQUEST_ID", "")})
        code = getattr(request, "problem", "") or problem.code_of(status)
        body = problem.document(status, code=code, request_id=number)
        self.version = "1.1"  # what cannot be read has none
        self.status = f"{status.value} {status.phrase}"
        self.response_headers += [
            ("Content-Type", problem.CONTENT_TYPE),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-ID", number),
        ]
        if status in problem.RETRY_AFTER:
            self.response_headers.append(("Retry-After", problem.RETRY_AFTER[status]))
        self.content_length = len(body)
        self.set_close_on_finish()
        self.channel.refuse()
        self.channel.server.refused(status.value, code, number, self.channel.addr[0])
        self.write(b"" if getattr(request, "command", "") == "HEAD" else body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection."""

    parser_class = limits.Parser
    task_class = Task
    error_task_class = Problem
    close_when_flushed: bool
    _refused = False
    _linger_until = 0.0
    began = 0.0
    """When the first byte came of the request that is being received, on the monotonic clock; 0 between requests.

    Before the first one it is when the connection was made: who makes some and says nothing would soon have them all.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.began = time.monotonic()
        self._silent = True
        # The loop answers while it holds this, in `received`.
        self.requests_lock = threading.RLock()

    @property
    def closing(self) -> bool:
        """Whether nothing is answered on this connection any more."""
        return bool(self.will_close or self.close_when_flushed or self._linger_until)

    def refuse(self) -> None:
        """Close after the answer, but not before its reader had the time to read it.

        A connection that is closed with bytes unread is reset, and the answer may be lost with it.
        """
        self._refused = True

    def readable(self) -> bool:
        """See waitress."""
        return bool(self._linger_until or super().readable())

    def handle_read(self) -> None:
        """See waitress; after a refusal what comes is thrown away."""
        if not self._linger_until:
            super().handle_read()
            return
        try:
            self.recv(self.adj.recv_bytes)  # closes at the end
        except OSError:
            self.handle_close()

    def handle_write(self) -> None:
        """See waitress."""
        if not self._refused or not self.close_when_flushed or self.will_close:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if not self.total_outbufs_len and self.connected:
            self.close_when_flushed = False
            self._linger_until = time.monotonic() + LINGER
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.handle_close()

    def received(self, data: bytes) -> bool:
        """See waitress."""
        if self._silent:
            self._silent, self.began = False, 0.0
        said: bool = super().received(data)
        unfinished = self.request is not None
        self.began = (self.began or time.monotonic()) if unfinished else 0.0
        return said

    def respond(self, response: bytes) -> None:
        """Send a whole response to the request that was received last; for the loop only, which holds the lock."""
        self.requests.clear()
        if not self.connected:
            return
        sent = 0 if self.total_outbufs_len else self.send(response)
        if sent < len(response):
            with contextlib.suppress(ClientDisconnected):
                self.write_soon(response[sent:])

    def too_slow(self, now: float) -> bool:
        """Whether the request that is being received should have arrived by now, or a refusal been read."""
        if self._linger_until:
            return now > self._linger_until
        if not self.began:
            return False
        in_body = self.request is not None and self.request.headers_finished
        return now - self.began > (limits.BODY_WITHIN if in_body else limits.HEADER_WITHIN)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered, or part of an answer is still to be sent."""
        return bool(self.requests) or self.total_outbufs_len > 0


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Listens at one address.

    Args:
        application: WSGI.
        host: to listen at.
        port: to listen at.
        threads: requests at once that are not answered from memory.
        at_once: whether a path is answered from memory.
        lane: answers the usual ones of these.
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
        refused: Callable[[int, str, str, str], None] = lambda *_: None,
    ) -> None:
        self.draining = False
        self.refused = refused
        self._ended = threading.Event()
        dispatcher = Dispatcher(at_once, lane)
        adj = limits.adjustments(host=host, port=port, threads=threads)
        super().__init__(application, dispatcher=dispatcher, adj=adj)
        dispatcher.set_thread_count(threads)

    def run(self) -> None:
        """Answer requests until `end`."""
        self.task_dispatcher.loop_thread = threading.get_ident()
        while not self._ended.is_set():
            wasyncore.loop(timeout=self.adj.asyncore_loop_timeout, map=self._map, use_poll=True, count=1)

    def pull_trigger(self) -> None:
        """Wake the loop; it needs that of others only."""
        if threading.get_ident() != self.task_dispatcher.loop_thread:
            super().pull_trigger()

    def maintenance(self, now: float) -> None:
        """Close what is idle, and what sends a request byte by byte: activity alone is no progress."""
        super().maintenance(now)
        monotonic = time.monotonic()
        for channel in list(self.active_channels.values()):
            if channel.too_slow(monotonic):
                channel.will_close = True

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
