"""The status page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

from tests.checkout import ROOT, Checkout
from tests.leaks import lasting_stack

SCREENSHOTS = ROOT / ".stackhand" / "screenshots"
SOON = 15_000
"""Milliseconds within which the page shows what has happened."""


@pytest.fixture(scope="package")
def stack(engine: str) -> Iterator[Checkout]:
    """A running stack, for the tests of this folder, which leave it as it was."""
    with lasting_stack(engine) as found:
        yield found


@pytest.fixture
def address(stack: Checkout) -> str:
    """Where the page of the running stack is."""
    return f"http://127.0.0.1:{stack.ports['WEB_PORT']}"


@pytest.fixture
def page(context: BrowserContext, address: str) -> Iterator[Page]:
    """A page at the stack's address; an error in its console, or something that its policy blocks, fails the test."""
    found = context.new_page()
    wrong: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        # the console also reports an answer of 502, which is not an error of the page
        if message.type == "error" and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", heard)
    yield found
    found.close()
    assert wrong == []


def summary(page: Page) -> str:
    """Return the sentence on top."""
    return page.locator("h1").inner_text()


def green(page: Page) -> int:
    """Return how many shapes, words and segments are in the colour of what is well."""
    return int(
        page.evaluate(
            """() => {
                const probe = Object.assign(document.createElement("i"), { className: "pass" });
                document.body.append(probe);
                probe.style.color = "var(--pass)";
                const colour = getComputedStyle(probe).color;
                probe.remove();
                const found = [...document.querySelectorAll(".shape, .state")].map((each) => getComputedStyle(each));
                const parts = [...document.querySelectorAll(".bar span")];
                found.push(...parts.map((each) => getComputedStyle(each, "::before")));
                return found.filter((style) => [style.backgroundColor, style.color].includes(colour)).length;
            }"""
        )
    )


def keep(page: Page, name: str) -> None:
    """Keep a screenshot, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=Path(SCREENSHOTS, f"{name}.png"), full_page=True)


def accessible(page: Page) -> None:
    """Fail when axe-core finds anything."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
