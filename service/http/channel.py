"""One connection, and what a request on it becomes."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
from http import HTTPStatus
from typing import Any, Literal

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.task import ErrorTask, WSGITask

from service.http import limits, problem
from service.http.correlation import request_id

LINGER = 2.0
"""Seconds that who was refused has to read why."""

Phase = Literal["header", "body", "answering", "unread", "idle", "lingering"]


class Task(WSGITask):  # type: ignore[misc] # waitress has no types
    """One request; the last of its connection when the server is about to end, or when its body was not waited for."""

    def execute(self) -> None:
        """See waitress."""
        if self.request.cut:
            self.channel.refuse()
        if self.request.cut or self.channel.server.draining:
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

    task_class = Task
    error_task_class = Problem
    close_when_flushed: bool
    _refused = False
    _linger_until = 0.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.parser_class = functools.partial(limits.Parser, rules=self.server.rules)
        self.since = time.monotonic()
        """When the phase began, on the monotonic clock."""
        self._silent = True
        self._in_body = False
        # The loop answers while it holds this, in `received`.
        self.requests_lock = threading.RLock()

    @property
    def phase(self) -> Phase:
        """What the connection is in the middle of. Before its first byte it is in a header."""
        if self._linger_until:
            return "lingering"
        if self.requests:
            return "answering"
        if self.total_outbufs_len:
            return "unread"
        if self.request is not None and self.request.headers_finished:
            return "body"
        return "header" if self._silent or self.request is not None else "idle"

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
        """See waitress; a phase begins with a request, and with its body."""
        before = self.request
        said: bool = super().received(data)
        in_body = self.request is not None and self.request.headers_finished
        if before is None or self.request is not before or in_body != self._in_body:
            self.since = time.monotonic()
        self._silent, self._in_body = False, in_body
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

    def is_overdue(self, now: float) -> bool:
        """Whether the client should have sent, or read, by now what it is in the middle of."""
        phase = self.phase
        return now > self._linger_until if phase == "lingering" else now - self.since > limits.within(phase)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered, or part of an answer is still to be sent."""
        return bool(self.requests) or self.total_outbufs_len > 0
