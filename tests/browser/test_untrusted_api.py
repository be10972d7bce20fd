"""What nginx forwards of a compromised API, or of an impostor."""

from __future__ import annotations

import http.client
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from service.snapshot import snapshot
from stackhand.cli.failure import Failure
from tests.browser import shapes
from tests.browser.nginx import nginx
from tests.browser.stub_api import HTML_OK, Api, ask, stub_api
from tests.checkout import Checkout
from tests.tls import Authority, pem

pytestmark = pytest.mark.slow
EVIL = "evil.example"
REFRESH = f'<meta http-equiv="refresh" content="0;url=https://{EVIL}/">'
GOOD = snapshot(shapes.status(time.time(), "db", "<b>odd & 'named'</b>"), time.time()).decode()
NOBODY = snapshot(shapes.status(time.time()), time.time()).decode()
HOSTILE = {
    "Set-Cookie": "big=1; Path=/",
    "Location": f"https://{EVIL}/",
    "Refresh": f"0;url=https://{EVIL}/",
    "Link": f"<https://{EVIL}/x.css>; rel=stylesheet",
    "Clear-Site-Data": '"*"',
    "Alt-Svc": f'h2="{EVIL}:443"',
    "Strict-Transport-Security": "max-age=0",
    "Content-Security-Policy": "script-src *",
    "Content-Security-Policy-Report-Only": f"default-src 'none'; report-uri https://{EVIL}/",
    "Service-Worker-Allowed": "/",
    "Permissions-Policy": "camera=*",
    "Report-To": "{}",
    "NEL": "{}",
    "X-Frame-Options": "ALLOWALL",
    "WWW-Authenticate": 'Basic realm="log in"',
    "Accept-CH": "Sec-CH-UA-Model",
    "Speculation-Rules": '"/rules.json"',
    "Origin-Agent-Cluster": "?0",
    "Referrer-Policy": "unsafe-url",
    "X-Accel-Redirect": "/style.css",
    "X-Accel-Limit-Rate": "1",
}


@contextmanager
def served(*edits: tuple[str, str], **environment: str) -> Iterator[tuple[Checkout, Api]]:
    place = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    place.chmod(0o755)
    by_page = ("proxy_cache_key state;", "proxy_cache_key $request_uri;")  # so that tests need not wait for each other
    with nginx(place / "shop", by_page, by_page, *edits, **environment) as checkout, stub_api(checkout) as api:
        yield checkout, api
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Checkout, Api]]:
    """A page, and the API behind it."""
    with served() as found:
        yield found


def shown(page: str) -> str:
    """Return what a page shows of the state, with the element around it."""
    assert page.rstrip().endswith("</html>")
    (found,) = re.findall(r'<section id="now".*?</section>', page, re.DOTALL)
    return str(found)


def test_rendered_state_is_included_in_page(site: tuple[Checkout, Api]) -> None:
    checkout, api = site
    for number, body in enumerate((GOOD, NOBODY)):
        api.says(body)
        page = shown(ask(checkout, "GET", f"/?good{number}")[2])
        assert page.replace(body.strip(), "").split() == ["<section", 'id="now">', "</section>"]


@pytest.mark.parametrize(
    ("body", "head"),
    [
        (REFRESH, HTML_OK),
        (GOOD + REFRESH, HTML_OK),
        (GOOD.replace("Database", REFRESH), HTML_OK),
        (GOOD.replace("Database", f'<script src="//{EVIL}/x.js"></script>'), HTML_OK),
        (GOOD.replace("Database", '<!--#include virtual="/healthz" -->evil'), HTML_OK),
        (GOOD.replace("<h1 class=", '<h1 style="x:evil" class='), HTML_OK),
        (GOOD + "</section>evil", HTML_OK),
        (GOOD.replace("<ul", "<h1>evil</h1><ul"), HTML_OK),
        (GOOD.replace("Unknown: no answer from the API. Last known: ", "evil"), HTML_OK),
        (GOOD.replace("Database", "evil"), "500 Internal Server Error\r\nContent-Type: text/html"),
        ("evil", f"{HTML_OK}\r\nX-Accel-Redirect: /healthz"),
        ("evil", "302 Found\r\nLocation: /"),
        ("", HTML_OK),
    ],
    ids=[
        *(
            "a refresh",
            "one behind it",
            "one in it",
            "a script",
            "an include",
            "an attribute",
            "the end of its element",
        ),
        *("another title", "another word for unknown", "an error", "an order to nginx", "another place", "nothing"),
    ],
)
def test_foreign_content_is_not_included_in_page(
    site: tuple[Checkout, Api], body: str, head: str, request: pytest.FixtureRequest
) -> None:
    checkout, api = site
    api.says(body, head)
    text = shown(ask(checkout, "GET", f"/?{request.node.callspec.id.replace(' ', '-')}")[2])
    assert "evil" not in text
    assert '"pass"' not in text
    assert "<h1>Unknown: no answer from the API</h1>" in text


def test_oversized_state_is_not_cached(site: tuple[Checkout, Api]) -> None:
    checkout, api = site
    api.says(GOOD + "x" * 300_000)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(checkout, "GET", "/?long")
    api.answer = ""
    assert "<h1>Unknown: no answer from the API</h1>" in shown(ask(checkout, "GET", "/?long")[2])


def test_api_headers_do_not_affect_the_origin(site: tuple[Checkout, Api]) -> None:
    checkout, api = site
    more = "".join(f"\r\n{name}: {value}" for name, value in HOSTILE.items())
    api.says(REFRESH, f"{HTML_OK}{more}")
    status, headers, text = ask(checkout, "GET", "/api/status.html")
    assert (status, text) == (200, REFRESH)
    assert EVIL not in str(headers)
    assert {name.lower() for name in HOSTILE} & headers.keys() == {
        "content-security-policy",
        "permissions-policy",
        "referrer-policy",
        "x-frame-options",
    }
    # a page of this policy runs nothing, and follows no refresh
    assert headers["content-security-policy"].startswith("default-src 'none';")
    assert headers["content-security-policy"].endswith("; sandbox")
    assert (headers["referrer-policy"], headers["x-frame-options"]) == ("no-referrer", "DENY")


def test_html_of_the_api_cannot_navigate(site: tuple[Checkout, Api], context: BrowserContext) -> None:
    checkout, api = site
    address = f"http://127.0.0.1:{checkout.ports['WEB_PORT']}/api/status.html"
    api.says('<meta http-equiv="refresh" content="0;url=/there"><script>location = "/there"</script>')
    page = context.new_page()
    page.goto(address)
    page.wait_for_timeout(300)
    assert page.url == address


RAW = "http/1.1 200 HTML_OK\r\nContent-Type: {}\r\nService-Worker-Allowed: /\r\n\r\n{}"
"""No HTTP: nginx passes it on as it is, and a browser reads it as HTTP with these very headers."""
INTO_A_FRAME = """
path => new Promise(done => {
    const frame = document.createElement("iframe")
    frame.onload = () => done(frame.contentDocument?.title ?? "")
    frame.src = path
    document.body.append(frame)
})
"""
AS_A_WORKER = (
    "navigator.serviceWorker.register('/api/sw.js', {scope: '/'}).then(() => 'registered', error => error.name)"
)


def test_non_http_answer_cannot_be_loaded(site: tuple[Checkout, Api], context: BrowserContext) -> None:
    checkout, api = site
    api.says(GOOD)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{checkout.ports['WEB_PORT']}/")
    api.answer = RAW.format("text/html", "<title>loaded</title><script>parent.document.title = 'taken over'</script>")
    assert page.evaluate(INTO_A_FRAME, "/api/status") != "loaded"
    with page.expect_navigation() as went:
        page.evaluate("location.assign('/api/status')")
    assert (went.value.status, page.title() == "loaded") == (403, False)
    page.goto(f"http://127.0.0.1:{checkout.ports['WEB_PORT']}/")
    api.answer = RAW.format("text/javascript", "self.onfetch = () => 0")
    assert page.evaluate(AS_A_WORKER) != "registered"


def test_non_http_answer_sets_no_cookie(site: tuple[Checkout, Api], context: BrowserContext) -> None:
    checkout, api = site
    api.says(GOOD)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{checkout.ports['WEB_PORT']}/")
    api.answer = RAW.format("text/plain\r\nSet-Cookie: big=1; Path=/", "")
    assert page.evaluate("fetch('/api/status').then(answer => answer.status, error => error.name)") == 502
    assert context.cookies() == []


def test_https_api_certificate_is_verified(tmp_path: Path) -> None:
    ours, other = Authority.make(), Authority.make()
    place = Path(tempfile.mkdtemp(prefix="sh-"))
    place.chmod(0o755)
    bundle = place / "ca.pem"
    bundle.write_bytes(pem(ours.certificate))
    group = ("\n    server {\n", "\n    upstream api.test { server ${API}; }\n    server {\n")
    environment = {"API_UPSTREAM": "https://api.test", "API_CA": str(bundle), "API": "api:4000"}
    with served(group, **environment) as (checkout, api):
        api.says(GOOD)
        for authority, name, trusted in ((other, "api.test", 0), (ours, EVIL, 0), (ours, "api.test", 1)):
            api.certified_by(*authority.issue(tmp_path, name))
            assert ask(checkout, "GET", "/api/status")[0] == (200 if trusted else 502)
            assert (GOOD.strip() in ask(checkout, "GET", f"/?{trusted}")[2]) is bool(trusted)
        assert set(api.names) == {"api.test"}
    shutil.rmtree(place)


def test_https_api_without_authority_is_refused(tmp_path: Path) -> None:
    given = {"API_UPSTREAM": "https://api.test", "API_CA": "none.pem"}
    with pytest.raises(Failure, match=r"web cannot verify https://api.test") as said, nginx(tmp_path / "shop", **given):
        pass
    assert list(said.value.evidence) == ["API_CA is none.pem"]
