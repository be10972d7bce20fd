"""Random bytes to the real service: it answers in order, and answers health meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import re
import select
import socket
import tempfile
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.service.process import NOTES, NOWHERE, TOKEN, Service, prompt

SECONDS = 6.0
"""For which it goes on, unless the option --fuzz-seconds says otherwise; then it goes where it never was."""
SILENCE = 0.05
"""Seconds without an answer after which there is none: much of what is sent is no whole request."""
MARK = b"smuggled-7"
"""The id of the request that stands in bodies, and that nobody may see answered."""
SMUGGLED = b"GET /version HTTP/1.1\r\nHost: x\r\nX-Request-ID: " + MARK + b"\r\n\r\n"
WRITER = f"Authorization: Bearer {NOTES}\r\n".encode()
HEAD = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d) [A-Za-z -]+\r\n((?:[A-Za-z-]+: [^\r\n\x00]*\r\n)*)\r\n")
INJECTED = b"x-injected"

ODD = [*b"\r|\n|\r\n|\0|\t| |\x7f|\x85|\xa0|\xff|%0d%0aX-Injected:%201".split(b"|"), "ü€😀".encode()]
HUGE = [*b"0|-1|+5|0x5|5, 5|5,6|00005|65536|1e3||5_0".split(b"|"), "٣".encode(), b"9" * 30, b"9" * 5000]
METHODS = [*b"GET|HEAD|PUT|POST|OPTIONS|TRACE|CONNECT|get|G\0T||PRI".split(b"|"), b"A" * 300]
PATHS = (
    b"/health /health/all /health/db /version /api/status /api/history?component=db&window=7d /api/incidents?limit=1 "
    b"/api/incidents/1/note /api/incidents/99999999999999999/note /metrics * //health /health/../version /%68ealth "
    b"/health/%00 /health%0d%0aX-Injected:1 http://x/health http://evil/ /\xff /health#x /health?\xff=%ff%00&&== x:80"
).split()
PATHS += [b"", b"/" + b"a" * 9000, b"/api/incidents?before=9-" + b"9" * 400]
VERSIONS = b"HTTP/1.1|HTTP/1.0|HTTP/0.9|HTTP/2.0|HTTP/1.1 |http/1.1|HTTP/11||HTTP/1.\xb2".split(b"|")
NAMES = (
    b"Host|Content-Length|Transfer-Encoding|Expect|Connection|Content-Type|X-Request-ID|Origin|Cookie|If-None-Match|Traceparent|"
    b"X-Amzn-Trace-Id|Access-Control-Request-Method|User-Agent|Content_Length|Transfer_Encoding|X-Forwarded-For|Upgrade|TE|"
    b"X-Forwarded-Host|Authorization| Host|Host ||X:Y|H\0st|Trailer|Range|HTTP2-Settings"
).split(b"|")
VALUES = (
    b"x|chunked|Chunked|gzip, chunked|chunked, identity|\x0bchunked|xchunked|100-continue|close|keep-alive|"
    b"close, keep-alive|https://status.example.com|null|*|application/json|rebound.example.net|"
    b"x\r\nX-Injected: 1|x\nX-Injected: 1|x\rX-Injected: 1|Bearer \xff|GET"
).split(b"|")
VALUES += [f"Bearer {NOTES}".encode(), f"Bearer {TOKEN}".encode(), b"a" * 300, b"00-%b-%b-01" % (b"a" * 32, b"b" * 16)]
BODIES = (
    b'|{}|{"note": "x"}|{"note": "\\u0000"}|{"note": "\\ud800"}|{"note": 1e999}|\xff\xfe|0\r\n\r\n|'
    b'5\r\nhello\r\n0\r\n\r\n|5;a="\r\n"\r\nhello\r\n0\r\n\r\n|5\nhello\n0\n\n|ffffffffffffffff1\r\n|-5\r\nhello\r\n|'
    b"0\r\nX-Injected: 1\r\n\r\n|5\r\nhelloX\r\n0\r\n\r\n|1\r\n\r\n\r\n0\r\n\r\n"
).split(b"|")
BODIES += [b"[" * 3000, b"9" * 5000]
ENDS = [*[b"\r\n"] * 60, b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\r\n\t", b""]


def pieces(known: list[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly what is known, at times with something odd in it, at times anything."""

    def mixed(found: tuple[bytes, int, bytes, int, bytes]) -> bytes:
        one, choice, odd, at, other = found
        return other if choice == 0 else one[:at] + odd + one[at:] if choice == 1 else one

    return st.tuples(
        st.sampled_from(known), st.integers(0, 9), st.sampled_from(ODD), st.integers(0, 12), st.binary(max_size=20)
    ).map(mixed)


LINE = st.tuples(pieces(METHODS), pieces(PATHS), pieces(VERSIONS)).map(b" ".join)
SANE = st.tuples(
    st.sampled_from([b"GET", b"GET", b"HEAD", b"OPTIONS", b"PUT", b"POST"]),
    st.sampled_from(
        [b"/health", b"/health/db", b"/version", b"/metrics", b"/api/incidents/1/note", b"/api/status", b"/x"]
    ),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]),
).map(b" ".join)
FIELD = st.tuples(pieces(NAMES), st.sampled_from([*[b": "] * 20, b":", b" : ", b""]), pieces(VALUES + HUGE)).map(
    b"".join
)
FIELDS = st.lists(st.tuples(FIELD, st.sampled_from(ENDS)).map(b"".join), max_size=5).map(b"".join)
SIZES = {size: b"Content-Length: %d\r\n" % size for size in (0, 5, len(SMUGGLED))}
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ODD_FRAMING = (
    b"Transfer-Encoding : chunked\r\n|Transfer-Encoding: identity\r\n|Transfer-Encoding:\x0bchunked\r\n|"
    b"Transfer-Encoding\r\n : chunked\r\n|X: y\rContent-Length: 0\r\n|X: y\nTransfer-Encoding: chunked\r\n"
).split(b"|")
FRAMING = st.lists(
    st.sampled_from([*SIZES.values(), CHUNKED, *ODD_FRAMING, WRITER, b"Expect: 100-continue\r\n"]),
    min_size=1,
    max_size=4,
)
ANY = st.tuples(
    st.one_of(SANE, LINE), st.sampled_from(ENDS), st.sampled_from([*[b"Host: x\r\n"] * 9, b""]), FIELDS, pieces(BODIES)
)
REQUEST = ANY.map(lambda found: b"".join([*found[:4], b"\r\n", found[4]]))
SMUGGLING = st.tuples(SANE, FRAMING, st.sampled_from([b"", b"0\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n"]))
ORDINARY = st.one_of(st.lists(REQUEST, min_size=1, max_size=3).map(b"".join), st.binary(max_size=300))


def smuggling(found: tuple[bytes, list[bytes], bytes]) -> tuple[bytes, list[bytes]]:
    """Return a stream, and the id behind it if there is but one way to read where its first request ends."""
    line, fields, body = found
    framing = [field for field in fields if not field.startswith((b"Authorization:", b"Expect:"))]
    ends = {CHUNKED: body == b"0\r\n\r\n"} | {field: len(body) == size for size, field in SIZES.items()}
    may = len(framing) < 2 and all(ends.get(field, False) for field in framing) and (bool(framing) or not body)
    return b"".join([line, b"\r\nHost: x\r\n", *fields, b"\r\n", body, SMUGGLED]), [MARK] if may else []


def pipeline(found: list[tuple[bytes, bytes, bytes]]) -> tuple[bytes, list[bytes]]:
    """Return a stream of requests that are whole, and their ids."""
    ids = [b"step-%d" % number for number in range(len(found))]
    requests = [
        line + b"\r\nHost: x\r\n" + WRITER + b"X-Request-ID: " + name + b"\r\n" + end + body
        for name, (line, end, body) in zip(ids, found, strict=True)
    ]
    return b"".join(requests), ids


def framed(found: tuple[bytes, list[int]]) -> tuple[bytes, bytes]:
    """Return the end of a header and the body behind it: in chunks that end where they are told to."""
    body, cuts = found
    if not cuts:
        return b"Content-Length: %d\r\n\r\n" % len(body), body
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    chunks = [body[begin:end] for begin, end in itertools.pairwise(edges)]
    return CHUNKED + b"\r\n", b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n\r\n"


BODY = st.tuples(
    st.one_of(st.sampled_from([*BODIES, SMUGGLED]), st.binary(max_size=60)), st.lists(st.integers(1, 40), max_size=3)
)
WHOLE = st.tuples(SANE, BODY.map(framed)).map(lambda found: (found[0], *found[1]))
STREAM = st.one_of(
    ORDINARY.map(lambda found: (found, [])),
    SMUGGLING.map(smuggling),
    st.lists(WHOLE, min_size=1, max_size=6).map(pipeline),
)


@pytest.fixture(scope="module")
def target() -> Iterator[Service]:
    """The service without any dependency, every line of whose log is kept."""
    more = {"THREADS": "4", "CORS_ORIGINS": "https://status.example.com", "NOTES_TOKEN": NOTES, "DATABASE_WAIT": "3600"}
    with tempfile.TemporaryFile("w+") as log:
        found = Service(NOWHERE, stdout=log.fileno(), HEALTH_DETAILS_TOKEN=TOKEN, LOG_LEVEL="debug", **more)
        found.log = log
        try:
            found.await_status("/health")
            yield found
        finally:
            found.kill()


def spoken(service: Service, streams: list[bytes], cut: int) -> list[tuple[bytes, bool]]:
    """Send each stream in two parts over a connection of its own; return what comes back, and whether it was closed."""
    socks = [socket.create_connection(("127.0.0.1", service.port), 5) for _ in streams]
    found, closed = [b""] * len(socks), [False] * len(socks)
    for begin, end in ((0, cut), (cut, None)):
        for sock, stream in zip(socks, streams, strict=True):
            with contextlib.suppress(ConnectionError):
                sock.sendall(stream[begin:end])
    while ready := select.select(
        [sock for sock, is_closed in zip(socks, closed, strict=True) if not is_closed], [], [], SILENCE
    )[0]:
        for sock in ready:
            at = socks.index(sock)
            try:
                part = sock.recv(65536)
            except ConnectionError:
                part = b""
            found[at] += part
            closed[at] = not part
        if all(closed):
            break
    for sock in socks:
        sock.close()
    return list(zip(found, closed, strict=True))


def parsed(stream: bytes, answer: bytes, *, closed: bool) -> list[tuple[int, dict[bytes, bytes]]]:
    """Return status and headers of each response, which are all that the answer is made of."""
    found: list[tuple[int, dict[bytes, bytes]]] = []
    while answer:
        head = HEAD.match(answer)
        assert head or not closed, (stream, answer[:300])
        if not head:
            break
        status, answer = int(head[1]), answer[head.end() :]
        if status == 100:
            continue
        headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in head[2].splitlines())}
        assert b"transfer-encoding" not in headers, stream
        is_bare = status in {204, 304} or (b"HEAD " in stream and (not answer or answer.startswith(b"HTTP/1.")))
        size = 0 if is_bare else int(headers[b"content-length"])
        assert len(answer) >= size or not closed, (stream, status)
        answer = answer[size:]
        found.append((status, headers))
    return found


def check(stream: bytes, ids: list[bytes], answer: bytes, *, closed: bool) -> None:
    responses = parsed(stream, answer, closed=closed)
    for status, headers in responses:
        assert status < 500 or status in {501, 503}, (stream, answer)  # no such encoding, no database
        assert INJECTED not in headers, (stream, answer)
    seen = [headers[b"x-request-id"] for _, headers in responses]
    ours = [each for each in seen if each == MARK or each.startswith(b"step-")]
    assert ours == ids[: len(ours)], (stream, answer)


def test_random_bytes_are_answered_in_order_or_refused(target: Service, request: pytest.FixtureRequest) -> None:
    given_seconds = request.config.getoption("--fuzz-seconds")
    until, tried = time.monotonic() + (given_seconds or SECONDS), 0

    @settings(
        max_examples=5, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(st.lists(STREAM, min_size=8, max_size=24), st.integers(0, 200))
    def fuzz(streams: list[tuple[bytes, list[bytes]]], cut: int) -> None:
        nonlocal tried
        for (stream, ids), (answer, closed) in zip(
            streams, spoken(target, [each[0] for each in streams], cut), strict=True
        ):
            check(stream, ids, answer, closed=closed)
        tried += len(streams)

    while time.monotonic() < until:
        seed(random.getrandbits(64) if given_seconds else tried)(fuzz)()
        assert prompt(target)
    assert tried > 100
    target.process.terminate()
    assert target.process.wait(timeout=20) == 0
    target.log.seek(0)
    for line in target.log:
        assert json.loads(line)["level"] not in {"error", "critical"}, line
