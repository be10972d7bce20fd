"""Stricter reading of requests than waitress's own: what two servers could read in two ways is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error

from service.http import hosts

HEADER_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024
UNREAD_BYTES = 256 * 1024
"""Of answers that a client has not read: beyond them its next request in the pipeline is answered no more."""
CONNECTIONS = 1000
HEADER_WITHIN, BODY_WITHIN, READ_WITHIN = 10.0, 5.0, 60.0
"""Seconds from the first byte of a request to the end of its header; from there to the end of its body; and from there
until its answer is read, which may take a while over a slow line."""
IDLE = 120
"""Seconds a connection may be idle: longer than a load balancer's 60, which would see it closed under a request."""

CANONICAL = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)?")
"""Paths that have one way to be written. Segments that begin with a dot, escapes and empty segments have more."""
MANY_DIGITS = re.compile(rb"\r\ncontent-length:[ \t]*[0-9]{19}")
"""More than any body has; Python refuses to read a number of thousands of digits."""
ONCE = (b"\r\nhost:", b"\r\ncontent-type:", b"\r\ntransfer-encoding:", b"\r\ncontent-length:")


def adjustments(**more: Any) -> Adjustments:
    """Return waitress's settings, with `more` of them."""
    return Adjustments(
        ident=None,
        max_request_header_size=HEADER_BYTES,
        max_request_body_size=BODY_BYTES,
        channel_timeout=IDLE,
        channel_request_lookahead=0,
        clear_untrusted_proxy_headers=True,
        asyncore_use_poll=True,  # select() has no room for more than 1024 connections
        expose_tracebacks=False,
        log_socket_errors=False,
        **more,
    )


def within(phase: str) -> float:
    """Return the seconds a connection may be in a phase."""
    return {"header": HEADER_WITHIN, "body": BODY_WITHIN, "unread": READ_WITHIN, "idle": IDLE}.get(phase, math.inf)


@dataclass(frozen=True)
class Rules:
    """What a request is judged by at the end of its header.

    Args:
        takes_body: whether the body of a request is read: method, path, Authorization.
        hosts: it may be for.
    """

    takes_body: Callable[[str, str, str], bool]
    hosts: hosts.Hosts = field(default_factory=hosts.Hosts)


class MisdirectedError(Error):  # type: ignore[misc] # waitress has no types
    """The request is for a host that we do not answer for."""

    code = 421
    reason = "Misdirected Request"


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads one request.

    Refused, beside what waitress refuses: Transfer-Encoding twice, with Content-Length, in HTTP/1.0 or other than
    chunked; Host missing or twice; folded lines; paths that are not canonical (RFC 9112, sections 3.2, 5.2, 6.1).
    """

    problem = ""
    """A code for the error that says more than its status does."""
    body_rcv: Any
    cut = False
    """Whether the body was not waited for: its connection has no further request."""

    def __init__(self, adj: Adjustments, rules: Rules) -> None:
        super().__init__(adj)
        self._rules = rules
        self._judged = False

    def received(self, data: bytes) -> int:
        """See waitress; who sends too much is not told to go on first, and nothing behind a refusal is read."""
        consumed: int = super().received(data)
        if self.headers_finished and not self._judged:
            self._judged = True
            if self.error is None and not self.empty:
                self._judge()
        if self.error is None and not self.cut:
            return consumed
        self.expect_continue = False
        return len(data)

    def _judge(self) -> None:
        """Refuse a host that is not ours, and answer without its body a request whose answer does not depend on it."""
        host = self.headers.get("HOST", "")
        if host and not self._rules.hosts.allow(host):
            kind = MisdirectedError if hosts.is_well_formed(host) else BadRequest
            self.error, self.completed = kind("not a host of ours"), True
        elif self.body_rcv is not None and not self._rules.takes_body(
            self.command, self.path, self.headers.get("AUTHORIZATION", "")
        ):
            self.body_rcv.getbuf().close()
            self.body_rcv, self.chunked, self.content_length = None, False, 0
            self.headers.pop("CONTENT_LENGTH", None)
            self.cut = self.completed = True

    def parse_header(self, header_plus: bytes) -> None:
        """See waitress.

        Raises:
            ParsingError: the header is not to be trusted.
        """
        start, _, fields = header_plus.partition(b"\r\n")
        lines = b"\r\n" + fields.lower()
        if any(lines.count(name) > 1 for name in ONCE):
            raise ParsingError("a header stands twice that may stand once")
        if b"\r\n " in lines or b"\r\n\t" in lines:
            raise ParsingError("a header line is folded")
        if b"content-length" in lines and MANY_DIGITS.search(lines):
            raise ParsingError("Content-Length is no number of bytes")
        encoded = b"\r\ntransfer-encoding:" in lines
        if encoded and (b"\r\ncontent-length:" in lines or not start.endswith(b"HTTP/1.1")):
            raise ParsingError("Transfer-Encoding is ambiguous")
        super().parse_header(header_plus)
        if encoded and not re.search(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(\r\n|$)", lines):
            raise ParsingError("Transfer-Encoding is not chunked")
        if self.version not in {"1.0", "1.1"}:
            raise ParsingError("no such version of HTTP")
        if self.version == "1.1" and not self.headers.get("HOST"):
            raise ParsingError("Host is missing")
        asterisk = self.command == "OPTIONS" and self.request_uri == "*"
        if not asterisk and not CANONICAL.fullmatch(self.request_uri.partition("?")[0]):
            self.problem = "path_not_canonical"
            raise ParsingError(self.problem)
