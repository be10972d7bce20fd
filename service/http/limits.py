"""Limits of requests and connections.

The parser is stricter than waitress's own: it refuses requests that two servers could interpret differently. A new
connection is never refused in favour of an inactive one, because it may be a health check: those make room for it.
"""

from __future__ import annotations

import contextlib
import math
import re
import resource
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error

from service.http import access

if TYPE_CHECKING:
    from service.http.channel import Channel

HEADER_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024
UNREAD_BYTES = 256 * 1024
"""Unread bytes of answers beyond which a client gets no answer to its next pipelined request."""
CONNECTIONS = 1000
OWN = 100
"""Descriptors reserved for everything but client connections: databases, probes, files."""
FEWEST = 16
STALLED_AFTER = 1.0
"""Seconds after which a stalled connection is closed before an idle one."""
HEADER_TIMEOUT, BODY_TIMEOUT, READ_TIMEOUT = 10.0, 5.0, 60.0
"""Seconds from the first byte of a request to the end of its header, from there to the end of its body, and from there
until the client has read the answer, which takes a while over a slow line."""
IDLE = 120
"""Seconds a connection may be idle: more than the 60 of a load balancer, which would otherwise lose requests."""

CANONICAL = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)?")
"""Paths with only one spelling. Segments that start with a dot, escapes and empty segments have several."""
MANY_DIGITS = re.compile(rb"\r\ncontent-length:[ \t]*[0-9]{19}")
"""More digits than any length has; Python refuses to parse thousands of them."""
ONCE = (b"\r\nhost:", b"\r\ncontent-type:", b"\r\ntransfer-encoding:", b"\r\ncontent-length:")


def adjustments(**more: Any) -> Adjustments:
    """Return the settings of waitress."""
    return Adjustments(
        ident=None,
        max_request_header_size=HEADER_BYTES,
        max_request_body_size=BODY_BYTES,
        channel_timeout=IDLE,
        channel_request_lookahead=0,
        clear_untrusted_proxy_headers=True,
        asyncore_use_poll=True,  # select() handles no more than 1024 connections
        expose_tracebacks=False,
        log_socket_errors=False,
        **more,
    )


def phase_timeout(phase: str) -> float:
    """Return how many seconds a connection may stay in a phase."""
    return {"header": HEADER_TIMEOUT, "body": BODY_TIMEOUT, "unread": READ_TIMEOUT, "idle": IDLE}.get(phase, math.inf)


def connections() -> int:
    """Return how many connections the limit of open files allows; raise a soft limit that is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OWN
    if _less(soft, wanted):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if _less(wanted, hard) else hard, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(CONNECTIONS, max(FEWEST, soft - OWN)) if _less(soft, wanted) else CONNECTIONS


def _less(limit: int, other: int) -> bool:
    return limit != resource.RLIM_INFINITY and (other == resource.RLIM_INFINITY or limit < other)


def expendable(channels: Iterable[Channel], count: int, now: float) -> list[Channel]:
    """Return at most `count` connections to close; never one whose request is being answered.

    Stalled connections come before idle ones; among these, the address with the most connections comes first, then
    the oldest connection.
    """
    candidates = [channel for channel in channels if channel.phase != "answering"]
    by_address = Counter(channel.addr[0] for channel in candidates)

    def rank(channel: Channel) -> tuple[bool, int, float]:
        stalled = channel.phase != "idle" and now - channel.since > STALLED_AFTER
        return not stalled, -by_address[channel.addr[0]], channel.since

    return sorted(candidates, key=rank)[:count]


@dataclass(frozen=True)
class Rules:
    """The rules for a request at the end of its header.

    Args:
        takes_body: whether the answer depends on the body, by method, path and Authorization.
        hosts: allowed host names.
    """

    takes_body: Callable[[str, str, str], bool]
    hosts: access.Hosts = field(default_factory=access.Hosts)


class MisdirectedError(Error):  # type: ignore[misc] # waitress has no types
    """The service does not answer for the requested host."""

    code = 421
    reason = "Misdirected Request"


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Parses one request.

    In addition to waitress it refuses: Transfer-Encoding twice, with Content-Length, in HTTP/1.0 or other than chunked;
    Host missing or twice; folded lines; paths in non-canonical form (RFC 9112, sections 3.2, 5.2, 6.1).
    """

    problem = ""
    """A code that is more specific than the status of the error."""
    body_rcv: Any
    cut = False
    """Whether the server did not wait for the body; the connection then takes no further request."""

    def __init__(self, adj: Adjustments, rules: Rules) -> None:
        super().__init__(adj)
        self._rules = rules
        self._rules_applied = False

    def received(self, data: bytes) -> int:
        """See waitress; a refused request gets no 100 Continue, and nothing after it is read."""
        consumed: int = super().received(data)
        if self.headers_finished and not self._rules_applied:
            self._rules_applied = True
            if self.error is None and not self.empty:
                self._apply_rules()
        if self.error is None and not self.cut:
            return consumed
        self.expect_continue = False
        return len(data)

    def _apply_rules(self) -> None:
        """Refuse a foreign host; skip a body on which the answer does not depend."""
        host = self.headers.get("HOST", "")
        if host and not self._rules.hosts.allow(host):
            kind = MisdirectedError if access.is_well_formed(host) else BadRequest
            self.error, self.completed = kind("the host is not allowed"), True
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
            ParsingError: the header is ambiguous or malformed.
        """
        start, _, fields = header_plus.partition(b"\r\n")
        lines = b"\r\n" + fields.lower()
        if any(lines.count(name) > 1 for name in ONCE):
            raise ParsingError("a header that must be unique is repeated")
        if b"\r\n " in lines or b"\r\n\t" in lines:
            raise ParsingError("a header line is folded")
        if b"content-length" in lines and MANY_DIGITS.search(lines):
            raise ParsingError("Content-Length is not a number of bytes")
        encoded = b"\r\ntransfer-encoding:" in lines
        if encoded and (b"\r\ncontent-length:" in lines or not start.endswith(b"HTTP/1.1")):
            raise ParsingError("Transfer-Encoding is ambiguous")
        super().parse_header(header_plus)
        if encoded and not re.search(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(\r\n|$)", lines):
            raise ParsingError("Transfer-Encoding is not chunked")
        if self.version not in {"1.0", "1.1"}:
            raise ParsingError("the HTTP version is unsupported")
        if self.version == "1.1" and not self.headers.get("HOST"):
            raise ParsingError("Host is missing")
        asterisk = self.command == "OPTIONS" and self.request_uri == "*"
        if not asterisk and not CANONICAL.fullmatch(self.request_uri.partition("?")[0]):
            self.problem = "path_not_canonical"
            raise ParsingError(self.problem)
