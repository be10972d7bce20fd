"""The status page during real outages of parts of the stack."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from stackhand.local.engines.embedded.supervisor import Supervisor
from stackhand.project.state import State
from tests.browser.conftest import SOON, accessible, green, keep, summary
from tests.checkout import Checkout, eventually

pytestmark = pytest.mark.slow
WELL = "All systems operational"


@contextmanager
def stopped(stack: Checkout, service: str) -> Iterator[None]:
    """Have a service stopped as a whole, and started again after the block."""
    supervisor = Supervisor(State(stack.path))
    supervisor.call("stopProcess", service)
    try:
        yield
    finally:
        supervisor.call("startProcess", service)


def test_page_explains_stopped_postgresql(page: Page, stack: Checkout, address: str) -> None:
    page.goto(address)
    expect(page.locator("h1")).to_have_text(WELL, timeout=SOON)
    expect(page.locator(".bar")).to_have_count(3, timeout=SOON)
    with stopped(stack, "postgres"):
        expect(page.locator("h1")).to_have_text(re.compile(r"Database disrupted for \d+ s"), timeout=SOON)
        assert page.locator(".lede").inner_text() == (
            "The service cannot operate without it. Still operational: Cache, Web server."
        )
        row = page.locator(".components li").first
        expect(row).not_to_contain_text("starting", timeout=SOON)  # what PostgreSQL says while it shuts down, too
        lines = row.inner_text().split("\n")
        assert lines[0] == "Database"
        assert re.fullmatch(r"Disrupted: (refused|error|timeout)", lines[1])
        assert re.fullmatch(r"since \d+ \w+, \d\d:\d\d \w+", lines[2])
        assert re.search(r"As of \d\d:\d\d:\d\d \w+ · \d+ s ago", page.locator("#now").inner_text())
        assert page.title() == f"Database disrupted · {stack.name}"
        expect(page.locator("#notice")).to_contain_text("The history is unavailable.", timeout=40_000)
        assert page.locator(".bar").count() == 3
        accessible(page)
        keep(page, "postgresql-stopped")
    expect(page.locator("h1")).to_have_text(WELL, timeout=SOON)


def test_page_announces_paused_cache_once(page: Page, stack: Checkout, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("status")).to_have_text(WELL, timeout=SOON)
    page.evaluate(
        """() => new MutationObserver(() => { globalThis.said = (globalThis.said ?? 0) + 1; })
            .observe(document.getElementById("changes"), { childList: true })"""
    )
    stack.kill("redis", signal.SIGSTOP)
    try:
        expect(page.locator("h1")).to_have_text(re.compile(r"Cache disrupted for [1-9]\d* s"), timeout=SOON)
        assert "The service continues to operate without it." in page.locator(".lede").inner_text()
        assert page.evaluate("said") == 1
    finally:
        stack.kill("redis", signal.SIGCONT)
    expect(page.locator("h1")).to_have_text(WELL, timeout=SOON)


def test_nothing_is_green_without_the_api(page: Page, browser: Browser, stack: Checkout, address: str) -> None:
    page.goto(address)
    expect(page.locator("h1")).to_have_text(WELL, timeout=SOON)
    with stopped(stack, "api"):
        expect(page.locator("h1")).to_contain_text("Unknown: no answer from the API for ", timeout=SOON)
        assert green(page) == 0
        plain = browser.new_context(java_script_enabled=False).new_page()
        plain.goto(address)
        assert summary(plain) == f"Unknown: no answer from the API. Last known: {WELL}"
        assert set(plain.locator(".state").all_inner_texts()) == {"Unknown, was Operational"}
        assert "UTC" in plain.locator("noscript").inner_text()
        plain.goto(f"{address}/version")
        assert summary(plain) == "The API does not answer"
        plain.context.close()
        status, problem, headers = stack.ask("/api/status", "WEB_PORT")
        assert (status, problem["code"]) == (502, "no_answer")
        assert headers["content-type"] == "application/problem+json"
        late = page.context.new_page()
        late.goto(address)
        expect(late.locator("h1")).to_contain_text("Unknown: no answer from the API for ", timeout=SOON)
        assert green(late) == 0
    for each in (page, late):
        expect(each.locator("h1")).to_have_text(WELL, timeout=40_000)


@pytest.fixture
def api_elsewhere(stack: Checkout, address: str) -> Iterator[str]:
    """The address of the API, which the browser asks itself meanwhile."""
    api = f"http://127.0.0.1:{stack.ports['API_PORT']}"
    stack.env(API_URL=api, CORS_ORIGINS=address)
    stack.inv("up")
    yield api
    stack.env(API_URL="", CORS_ORIGINS="")
    stack.inv("up")


def test_api_can_have_another_origin(api_elsewhere: str, page: Page, address: str) -> None:
    api = api_elsewhere
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    expect(page.locator(".bar")).to_have_count(3, timeout=SOON)
    eventually(lambda: (page.wait_for_timeout(100), len([url for url in asked if url.startswith(api)]) > 5)[1], "polls")
    assert [url for url in asked if "/api/" in url and not url.startswith(api)] == []
    assert summary(page) == WELL
