"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.checkout import Checkout


@pytest.fixture
def page(browser: Browser, stack: Checkout) -> Iterator[Page]:
    """The status page of the running stack; a console error or a blocked resource fails the test."""
    context = browser.new_context()
    found = context.new_page()
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on(
        "console", lambda message: wrong.append(message.text) if "Content Security Policy" in message.text else None
    )
    found.goto(f"http://127.0.0.1:{stack.ports['WEB_PORT']}/")
    yield found
    context.close()
    assert wrong == []
