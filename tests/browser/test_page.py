"""The status page of a healthy stack."""

from __future__ import annotations

import re
import time
import urllib.request

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.conftest import SOON, accessible, green, keep, summary
from tests.checkout import ROOT, Checkout, eventually

pytestmark = pytest.mark.slow
WELL = "All systems operational"
RAW, TRANSFER = 30_000, 12 * 1024
"""Bytes of the page's files; and of what a browser gets of them."""
BOUND = "<b onclick=\"x\">It's fixed</b> & \\ :'x'"


def test_page_shows_all_operational(page: Page, stack: Checkout, address: str) -> None:
    page.goto(address)
    expect(page).to_have_title(f"{WELL} · {stack.name}", timeout=SOON)
    assert summary(page) == WELL
    assert page.locator("main > section > p").first.inner_text() == (
        f"{stack.name} · development · embedded · version 0.2.0"
    )
    rows = page.locator(".components li")
    assert [row.split("\n")[:2] for row in rows.all_inner_texts()] == [
        ["Database", "Operational"],
        ["Cache", "Operational"],
        ["Web server", "Operational"],
    ]
    assert all("since " in row and row.endswith(" ms") for row in rows.all_inner_texts())
    expect(page.get_by_text("As of ").first).to_contain_text("s ago")
    assert "2e8555" in str(page.locator("link[rel=icon]").get_attribute("href"))


def test_page_without_javascript_shows_the_same(page: Page, browser: Browser, address: str) -> None:
    page.goto(address)
    expect(page.get_by_text("ago")).to_be_visible(timeout=SOON)
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(address)
    assert summary(plain) == summary(page) == WELL
    columns = ".components li > b, .components .state"
    assert plain.locator(columns).all_inner_texts() == page.locator(columns).all_inner_texts()
    assert "UTC" in plain.locator("noscript").inner_text()
    assert plain.locator("time").count() == 4
    assert "Unknown" not in plain.locator("main").inner_text()
    plain.context.close()


def test_page_is_small_and_self_contained(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    expect(page.locator(".bar")).to_have_count(3, timeout=SOON)
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    sizes = page.evaluate(
        """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
            .filter(({ name }) => !name.includes("/api/")).map(({ encodedBodySize }) => encodedBodySize)"""
    )
    assert min(sizes) > 0
    assert sum(sizes) <= TRANSFER
    files = [path for path in (ROOT / "web").iterdir() if path.suffix in {".html", ".css", ".js"}]
    assert sum(path.stat().st_size for path in files) < RAW


def test_cookies_of_other_ports_are_tolerated_up_to_a_limit(page: Page, address: str) -> None:
    def have(bytes_of_cookies: int) -> None:
        """Have so many bytes of them: a name and a value of 3000, and what stands between two."""
        page.context.clear_cookies()
        count = bytes_of_cookies // 3000
        values = [{"name": f"port{number}", "value": "x" * 2992, "url": address} for number in range(count)]
        page.context.add_cookies(values)  # type: ignore[arg-type]

    for many in (9_000, 15_000):
        have(many)
        page.goto(address)
        expect(page.locator(".bar")).to_have_count(3, timeout=SOON)
        assert summary(page) == WELL
    have(18_000)
    page.goto(address)
    assert summary(page) == "The browser sent too many cookies"
    assert "Delete the cookies of this host" in page.locator("p").first.inner_text()
    assert page.evaluate("getComputedStyle(document.body).maxWidth") == "800px"
    for width in (320, 1440):
        page.set_viewport_size({"width": width, "height": 600})
        keep(page, f"cookies-{width}")
    accessible(page)
    page.context.clear_cookies()


def test_page_sends_one_conditional_request_at_a_time(page: Page, address: str) -> None:
    open_now: set[Request] = set()
    most = 0
    answers: list[int] = []

    def begun(request: Request) -> None:
        nonlocal most
        if request.url.endswith("/api/status"):
            open_now.add(request)
            most = max(most, len(open_now))

    def ended(request: Request) -> None:
        open_now.discard(request)

    page.on("request", begun)
    page.on("requestfinished", ended)
    page.on("response", lambda response: answers.append(response.status))
    page.goto(address)
    eventually(lambda: (page.wait_for_timeout(100), answers.count(304))[1], "an answer that is still true", 20)
    assert most == 1


def test_hidden_page_pauses_and_sleep_leaves_a_gap(page: Page, address: str) -> None:
    page.clock.install()
    page.goto(address)
    expect(page.get_by_text("ago")).to_be_visible(timeout=SOON)
    asked: list[str] = []
    hide = """hidden => {
        Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    assert page.title().startswith("Paused")
    page.on("request", lambda request: asked.append(request.url))
    page.clock.fast_forward("30:00")
    assert green(page) == 0
    assert summary(page) == "Unknown: no answer from the API for 30 min"
    assert asked == []
    page.evaluate(hide, False)
    expect(page.locator("h1")).to_have_text(WELL, timeout=SOON)
    expect(page.get_by_text("This page received no data from ")).to_be_visible()


def test_ages_ignore_the_browser_clock(page: Page, address: str) -> None:
    page.clock.install(time=time.time() - 86_400 * 3)
    page.goto(address)
    age = page.get_by_text("As of ").first
    expect(age).to_contain_text("s ago", timeout=SOON)
    assert 0 <= int(age.inner_text().split("· ")[1].split(" s")[0]) < 30


def test_window_is_in_the_url_and_theme_is_stored(page: Page, address: str) -> None:
    page.goto(f"{address}/?window=7d")
    chosen = page.locator("nav [aria-current=page]")
    expect(chosen).to_have_text("7 days", timeout=SOON)
    page.get_by_role("link", name="90 days").click()
    expect(page).to_have_url(f"{address}/?window=90d")
    expect(chosen).to_have_text("90 days")
    page.go_back()
    expect(chosen).to_have_text("7 days")
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    page.get_by_role("button", name="Light / dark").click()
    assert page.evaluate(paper) != before
    after = page.evaluate(paper)
    page.reload()
    assert page.evaluate(paper) == after


def test_keyboard_reaches_everything(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("summary")).to_have_count(3, timeout=SOON)
    stops = []
    for _ in range(10):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate("document.activeElement.ariaLabel?.split(': ').at(-1) ?? document.activeElement.innerText")
        )
    assert stops[:4] == ["Light / dark", "24 hours", "7 days", "90 days"]
    assert stops[5::2] == ["Statistics for Database", "Statistics for Cache", "Statistics for Web server"]
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Statistics for Web server")).to_contain_text("Samples")
    page.locator(".bar [tabindex='0']").first.focus()
    page.keyboard.press("Home")
    expect(page.locator(".axis").first).to_contain_text("no data")
    first = page.locator(".axis").first.inner_text()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".axis").first).not_to_have_text(first)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".axis").first).to_have_text(first)
    expect(page.locator(".bar :focus")).to_have_attribute("tabindex", "0")
    expect(page.locator(".bar [tabindex='0']")).to_have_count(3)


def test_note_is_shown_as_text(page: Page, stack: Checkout, address: str) -> None:
    values = "'cache', now() - interval '2 hours', now() - interval '116 minutes', 'fail', 'timeout'"
    fields = "component, started_at, ended_at, worst, code"
    sql = f"INSERT INTO stackhand_status.history_incident ({fields}) VALUES ({values}) RETURNING id"
    number = stack.inv("db.shell", stdin=sql).out.split()[2]
    assert "note added to cache of " in stack.inv("db.note", number, f"{BOUND}\nThe second line.").out
    asked = "/api/incidents?limit=100"  # as the page does
    eventually(lambda: [each for each in stack.ask(asked)[1]["incidents"] if each["note"]], "it has the note")
    page.goto(address)
    shown = page.locator("#incidents li")
    expect(shown).to_have_count(1, timeout=SOON)
    lines = shown.inner_text().split("\n")
    assert lines[:2] == ["Cache disrupted", "4 min"]
    assert lines[2].endswith(f"· timeout · incident {number}")
    assert [line for line in lines[3:] if line] == [BOUND, "The second line."]
    accessible(page)
    keep(page, "note")


def test_other_pages_and_headers_are_correct(page: Page, stack: Checkout, address: str) -> None:
    page.goto(f"{address}/nowhere")
    assert summary(page) == "Page not found"
    request = urllib.request.Request(f"{address}/", headers={"X-Request-ID": "mine-1"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        headers = {name.lower(): value for name, value in answer.getheaders()}
    policy = headers["content-security-policy"]
    assert re.match(r"default-src 'none'; script-src 'self'; style-src 'self' 'sha256-[^']+'; img-src ", policy)
    assert "unsafe" not in policy
    assert (headers["x-request-id"], headers["cache-control"]) == ("mine-1", "no-cache")
    status, _, tagged = stack.ask("/style.css", "WEB_PORT")
    assert (status, "etag" in tagged, tagged["cache-control"]) == (200, True, "no-cache")
    for path in ("/nginx.conf.template", "/start"):
        assert stack.ask(path, "WEB_PORT")[0] == 404
    names = [name for name, _ in urllib.request.urlopen(f"{address}/version", timeout=5).getheaders()]
    assert len(names) == len(set(names))
