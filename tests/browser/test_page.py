"""The status page in a real browser, over a real stack."""

from __future__ import annotations

import signal

import pytest
from playwright.sync_api import Page, expect

from tests.checkout import Checkout

pytestmark = pytest.mark.slow
SOON = 15_000


def test_the_page_says_that_everything_is_operational(page: Page) -> None:
    expect(page.locator("h1")).to_have_text("All systems operational", timeout=SOON)
    expect(page.locator("#components li")).to_have_count(3)
    expect(page).to_have_title("Operational")


def test_the_page_names_what_is_disrupted(page: Page, stack: Checkout) -> None:
    stack.kill("redis", signal.SIGSTOP)
    try:
        expect(page.locator("h1")).to_have_text("Cache disrupted", timeout=SOON)
        expect(page.locator("li", has_text="Database")).to_contain_text("Operational")
    finally:
        stack.kill("redis", signal.SIGCONT)
    expect(page.locator("h1")).to_have_text("All systems operational", timeout=SOON)


def test_the_page_says_unknown_and_nothing_stays_green_when_the_api_is_gone(page: Page, stack: Checkout) -> None:
    expect(page.locator("h1")).to_have_text("All systems operational", timeout=SOON)
    stack.kill("api", signal.SIGSTOP)
    try:
        expect(page.locator("h1")).to_contain_text("Unknown: no answer from the API for", timeout=SOON)
        expect(page.locator(".pass")).to_have_count(0)
        expect(page.locator("li", has_text="Database")).to_contain_text("Unknown, was operational")
    finally:
        stack.kill("api", signal.SIGCONT)
    expect(page.locator("h1")).to_have_text("All systems operational", timeout=SOON)


def test_the_page_is_readable_on_a_small_screen(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    expect(page.locator("#components li")).to_have_count(3, timeout=SOON)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
