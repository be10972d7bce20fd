"""One connection and its requests."""

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
"""Seconds for which a refused client may read the reason."""

Phase = Literal["header", "body", "answering", "unread", "idle", "lingering"]


class Task(WSGITask):  # type: ignore[misc] # waitress has no types
    """One request; it closes its connection if the server drains, or if the server did not wait for the body."""

    def execute(self) -> None:
        """See waitress."""
        if self.request.cut:
            self.channel.refuse()
        if self.request.cut or self.channel.server.draining:
            self.set_close_on_finish()
        super().execute()


class Problem(ErrorTask):  # type: ignore[misc]
    """The answer to a request that does not reach the application."""

    def execute(self) -> None:
        """Answer with a problem document and log it, as the application would."""
        request, error = self.request, self.request.error
        status = HTTPStatus(error.code)
        headers = getattr(request, "headers", {})
        correlation_id = request_id({"HTTP_X_REQUEST_ID": headers.get("X_REQUEST_ID", "")})
        code = getattr(request, "problem", "") or problem.code_of(status)
        body = problem.document(status, code=code, request_id=correlation_id)
        self.version = "1.1"  # an unreadable request has none
        self.status = f"{status.value} {status.phrase}"
        self.response_headers += [
            ("Content-Type", problem.CONTENT_TYPE),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-ID", correlation_id),
        ]
        if status in problem.RETRY_AFTER:
            self.response_headers.append(("Retry-After", problem.RETRY_AFTER[status]))
        self.content_length = len(body)
        self.set_close_on_finish()
        self.channel.refuse()
        self.channel.server.refused(status.value, code, correlation_id, self.channel.addr[0])
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
        """Start of the phase on the monotonic clock."""
        self._silent = True
        self._in_body = False
        # The loop holds this lock in `received` and answers from there.
        self.requests_lock = threading.RLock()

    @property
    def phase(self) -> Phase:
        """The phase of the connection; before its first byte it counts as in a header."""
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
        """Whether the connection answers no further request."""
        return bool(self.will_close or self.close_when_flushed or self._linger_until)

    def refuse(self) -> None:
        """Close after the answer, once the client has had time to read it.

        Closing a connection with unread bytes resets it, and the client may lose the answer.
        """
        self._refused = True

    def readable(self) -> bool:
        """See waitress."""
        return bool(self._linger_until or super().readable())

    def handle_read(self) -> None:
        """See waitress; after a refusal, input is discarded."""
        if not self._linger_until:
            super().handle_read()
            return
        try:
            self.recv(self.adj.recv_bytes)  # closes at the end of the stream
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
        """See waitress; a request and its body each start a phase."""
        before = self.request
        consumed: bool = super().received(data)
        in_body = self.request is not None and self.request.headers_finished
        if before is None or self.request is not before or in_body != self._in_body:
            self.since = time.monotonic()
        self._silent, self._in_body = False, in_body
        return consumed

    def respond(self, response: bytes) -> None:
        """Send a complete response to the last request; only the loop may call this, holding the lock."""
        self.requests.clear()
        if not self.connected:
            return
        sent = 0 if self.total_outbufs_len else self.send(response)
        if sent < len(response):
            with contextlib.suppress(ClientDisconnected):
                self.write_soon(response[sent:])

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has exceeded the time limit of its phase."""
        phase = self.phase
        return now > self._linger_until if phase == "lingering" else now - self.since > limits.phase_timeout(phase)

    @property
    def busy(self) -> bool:
        """Whether a request is in progress, or part of an answer is unsent."""
        return bool(self.requests) or self.total_outbufs_len > 0
