"""Answers of nginx itself, in front of a stub of the API or of none."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.http import limits
from service.http.problem import DETAILS
from service.snapshot import snapshot
from tests.browser import shapes
from tests.browser.nginx import nginx
from tests.browser.stub_api import ask, stub_api
from tests.checkout import ROOT, Checkout, eventually

pytestmark = pytest.mark.slow
PROBLEM = "application/problem+json"
HTML = {"Accept": "text/html"}
PROTECTING = {
    "server": "nginx",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


@pytest.fixture(scope="module")
def site() -> Iterator[Checkout]:
    """A checkout whose page nginx serves, and that waits two seconds for the API."""
    place = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    place.chmod(0o755)
    sooner = [
        ("proxy_read_timeout 10s;", "proxy_read_timeout 2s;"),
        ("client_header_timeout 5s;", "client_header_timeout 1s;"),
    ]
    with nginx(place / "shop", *sooner, ALLOWED_HOSTS="web, shop.test,.below.test") as found:
        yield found
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def itself() -> Iterator[Checkout]:
    """A checkout whose nginx is its own upstream, as on AWS, where a load balancer is in between."""
    place = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    place.chmod(0o755)
    last = "client_max_body_size 0;\n        set $api "
    mine = (f"{last}${{API_UPSTREAM}};", f"{last}http://${{LISTEN}};")
    with nginx(place / "shop", mine, ("access_log /dev/stdout json;", 'access_log "${RUN}/access.log" json;')) as found:
        yield found
    shutil.rmtree(place)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        *((path, 404) for path in ("//api/status", "/%61pi/status", "/./api/status", "/x/../api/status", "//health")),
        *(
            (path, 404)
            for path in ("http://localhost//api/status", "/\\api/status", "/api%2fstatus", "/..;/api/status")
        ),
        ("/API/status", 404),
        *((path, 400) for path in ("/../api/status", "/api/%00", "/api/\0", "api/status", "/api/%2e%2e/../..")),
        (f"/{'x' * 17_000}/../api/status", 414),
    ],
)
def test_noncanonical_api_path_is_not_forwarded(itself: Checkout, target: str, status: int) -> None:
    """A load balancer compares what was written: it would send such a path to nginx, whose upstream it is."""
    assert rounds(itself, target) == [status]


@pytest.mark.parametrize("target", ["/api/status", "/api/..;/", "http://localhost/api/status", "/version"])
def test_looped_request_is_not_forwarded(itself: Checkout, target: str) -> None:
    assert rounds(itself, target) == [502, 502]


def rounds(itself: Checkout, target: str) -> list[int]:
    """Send a request whose target is written as it is; return the statuses of all requests that came of it."""
    (log,) = itself.state.rglob("access.log")
    before = len(log.read_text(encoding="utf-8").splitlines())
    with socket.create_connection(("127.0.0.1", itself.ports["WEB_PORT"]), 10) as line:
        line.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = line.makefile("rb").read()
    eventually(lambda: len(log.read_text(encoding="utf-8").splitlines()) > before, "the request is logged")
    found = [json.loads(each)["status"] for each in log.read_text(encoding="utf-8").splitlines()[before:]]
    assert answer.startswith(f"HTTP/1.1 {found[-1]} ".encode())
    return found


def problem(answer: tuple[int, dict[str, str], str]) -> tuple[int, str]:
    """Return status and code of a problem document that is one."""
    status, headers, text = answer
    found = json.loads(text)
    assert headers["content-type"] == PROBLEM
    assert headers["x-content-type-options"] == "nosniff"
    assert (found["type"], found["status"], found["request_id"]) == ("about:blank", status, headers["x-request-id"])
    assert found["title"]
    return status, found["code"]


def test_page_of_twenty_components_is_complete(site: Checkout) -> None:
    now = time.time()
    with stub_api(site) as api:
        api.says(snapshot(shapes.status(now, *(f"a-component-of-many-{number}" for number in range(20))), now).decode())
        status, _, text = ask(site, "GET", "/")
    assert (status, text.count("<li class=")) == (200, 20)
    assert text.rstrip().endswith("</html>")


def test_without_api_clients_get_the_matching_error_format(site: Checkout) -> None:
    assert problem(ask(site, "GET", "/api/status")) == (502, "no_answer")
    status, headers, text = ask(site, "GET", "/api/status", headers=HTML)
    assert (status, headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert "<h1>The API does not answer</h1>" in text


def test_slow_api_counts_as_no_answer(site: Checkout) -> None:
    with stub_api(site) as api:
        api.hang()
        answer = ask(site, "GET", "/api/status")
    assert problem(answer) == (502, "no_answer")
    assert '"request_id":"mine-1"' in answer[2]


@pytest.mark.parametrize(
    ("method", "path", "more", "said"),
    [
        ("PUT", "/api/incidents/1/note", {"body": b"x" * 70_000}, (413, "request_entity_too_large")),
        ("TRACE", "/api/status", {}, (405, "method_not_allowed")),
        ("POST", "/", {}, (405, "method_not_allowed")),
        ("GET", "/api/%zz", {}, (400, "bad_request")),
        ("GET", "/api/status", {"headers": {"Host": "a b"}}, (400, "bad_request")),
        ("GET", "/api/status", {"headers": {"X-Much": "x" * 17_000}}, (431, "request_header_fields_too_large")),
        ("GET", f"/api/{'x' * 17_000}", {}, (414, "request_uri_too_long")),
    ],
    ids=["a large body", "TRACE", "POST to the page", "an escape", "a host", "a large header", "a long path"],
)
def test_nginx_refuses_with_a_problem_document(
    site: Checkout, method: str, path: str, more: dict[str, Any], said: tuple[int, str]
) -> None:
    assert problem(ask(site, method, path, **more)) == said
    more["headers"] = more.get("headers", {}) | HTML
    assert problem(ask(site, method, path, **more)) == said


def test_nginx_refuses_nonsense(site: Checkout) -> None:
    with socket.create_connection(("127.0.0.1", site.ports["WEB_PORT"]), 5) as line:
        line.sendall(b"GET /api/status HTTP/1.1\r\nHost: x\r\nContent-Length: y\r\n\r\n")
        said = line.makefile("rb").read().decode()
    assert said.startswith("HTTP/1.1 400 Bad Request\r\n")
    assert f"\r\nContent-Type: {PROBLEM}\r\n" in said
    assert json.loads(said.partition("\r\n\r\n")[2])["code"] == "bad_request"


def test_nginx_and_api_share_the_header_limit() -> None:
    template = (ROOT / "web" / "nginx.conf.template").read_text(encoding="utf-8")
    found = re.search(r"large_client_header_buffers \d+ (\d+)k;", template)
    assert found
    assert int(found[1]) * 1024 == limits.HEADER_BYTES
    assert DETAILS["request_header_fields_too_large"] in template


def test_error_page_is_self_contained(site: Checkout) -> None:
    status, headers, text = ask(site, "GET", "/nowhere")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert (status, f"'sha256-{digest}'" in headers["content-security-policy"]) == (404, True)
    assert "style.css" not in re.sub(r"<!--.*?-->", "", text)


@pytest.mark.parametrize("path", ["/error.html", "/problem", "/misdirected", "/snapshot", "/snapshot/last", "/nowhere"])
def test_internal_locations_are_not_pages(site: Checkout, path: str) -> None:
    status, _, text = ask(site, "GET", path)
    assert (status, "<h1>Page not found</h1>" in text) == (404, True)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:80", "[::1]:3000", "LocalHost", "a.b.localhost", "web", "SHOP.test:80", "x.below.test", "below.test"],
)
def test_allowed_host_names_are_answered(site: Checkout, host: str) -> None:
    assert ask(site, "GET", "/healthz", headers={"Host": host})[0] == 200


@pytest.mark.parametrize(
    "host",
    ["rebound.example", "localhost.example", "127.0.0.1.example", "shopXtest", "x.shop.test", "notbelow.test", "web.x"],
)
@pytest.mark.parametrize("path", ["/", "/healthz", "/api/status", "/health/all", "/nowhere"])
def test_rebound_host_name_reads_nothing_from_nginx(site: Checkout, host: str, path: str) -> None:
    answer = ask(site, "GET", path, headers={"Host": host, **HTML})
    assert problem(answer) == (421, "misdirected_request")


def test_absolute_target_and_missing_host_are_judged(site: Checkout) -> None:
    for request, status in (
        ("GET http://rebound.example/healthz HTTP/1.1\r\nHost: localhost\r\n", 421),
        ("GET /healthz HTTP/1.0\r\n", 200),
        ("GET /healthz HTTP/1.1\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: rebound.example\r\n", 400),
    ):
        with socket.create_connection(("127.0.0.1", site.ports["WEB_PORT"]), 5) as line:
            line.sendall(f"{request}Connection: close\r\n\r\n".encode())
            assert int(line.makefile("rb").readline().split()[1]) == status


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/healthz", {}, 200),
        ("GET", "/nowhere", {}, 404),
        ("POST", "/", {}, 405),
        ("PUT", "/api/incidents/1/note", {"body": b"x" * 70_000}, 413),
        ("GET", "/", {"headers": {"Host": "rebound.example"}}, 421),
        ("GET", "/", {"headers": {"X-Much": "x" * 17_000, **HTML}}, 431),
        ("GET", "/api/status", {"headers": HTML}, 502),
    ],
)
def test_every_answer_has_security_headers(
    site: Checkout, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    found, headers, _ = ask(site, method, path, **more)
    assert found == status
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert {name: headers.get(name) for name in PROTECTING} == PROTECTING
    assert "strict-transport-security" not in headers


def test_tls_request_gets_strict_transport_security(site: Checkout) -> None:
    for path in ("/", "/nowhere", "/api/status"):
        headers = ask(site, "GET", path, headers={"X-Forwarded-Proto": "https"})[1]
        assert headers["strict-transport-security"] == "max-age=31536000"


ROOM = 2100
"""More connections than nginx has room for."""


def test_dripping_body_is_judged_by_its_header(site: Checkout) -> None:
    for path, status in (
        ("/", b"413"),
        ("/style.css", b"413"),
        ("/api/incidents/1/note", b"502"),
    ):  # the API is not there
        with socket.create_connection(("127.0.0.1", site.ports["WEB_PORT"]), 2) as line:
            line.sendall(b"PUT %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{" % path.encode())
            assert line.recv(100).split()[1] == status, path


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many descriptors for this process as that takes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2 * ROOM), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
def test_slow_or_idle_clients_block_nobody(site: Checkout) -> None:
    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", site.ports["WEB_PORT"]), 5)

    with contextlib.ExitStack() as held:
        slow = held.enter_context(connect())
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        for _ in range(ROOM):
            held.enter_context(connect())
        assert ask(site, "GET", "/healthz")[0] == 200
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(1) == b""
