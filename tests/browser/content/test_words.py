"""The words of the page: those of the API, the same without a script, and names as text, whatever they are."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from service.snapshot import display, snapshot
from tests.browser import shapes
from tests.browser.conftest import SOON, green, summary
from tests.browser.content.conftest import QUARTER, answering, gives

pytestmark = pytest.mark.slow


def test_hostile_names_are_shown_as_text(page: Page, address: str) -> None:
    now = time.time()
    name = shapes.HOSTILE
    answering(
        page,
        shapes.full,
        shapes.incident(1, name, now - 60, None, now, code="<i>x</i>", note=shapes.NOTE),
        names=(name, "__proto__", "constructor"),
        status="fail",
        output="<b>",
    )
    page.goto(address)
    expect(page.locator("#incidents li")).to_contain_text(name, timeout=SOON)
    assert summary(page).startswith(f"{name} disrupted for ")
    assert page.locator("#incidents .note").inner_text() == shapes.NOTE
    assert page.locator("h3").all_inner_texts() == [name, "__proto__", "constructor"]
    assert page.locator("main img, main script, main i").count() == 0
    page.set_viewport_size({"width": 320, "height": 600})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


DEGRADED = {"status": "warn", "output": "cannot_persist"}
REFUSED = {"status": "fail", "output": "refused", "consecutiveFailures": 3}
PRESENTS: dict[str, tuple[str, list[dict[str, Any]], str, str | None]] = {
    "operational": ("ready", [{}, {}], "All systems operational", None),
    "migrating, and one degraded": ("migrating", [DEGRADED, {}], "Database degraded", "The service is migrating."),
    "a critical one disrupted": (
        "ready",
        [REFUSED, {}],
        "Database disrupted",
        "The service cannot operate without it. Still operational: Cache.",
    ),
}


@pytest.mark.parametrize("name", PRESENTS)
def test_page_with_and_without_script_shows_the_same_words(
    page: Page, browser: Browser, address: str, name: str
) -> None:
    phase, changes, sentence, consequence = PRESENTS[name]
    now = time.time()
    status = shapes.status(now, "db", "cache")
    status["phase"] = phase
    for component, changed in zip(status["components"], changes, strict=True):
        component |= {"observedValue": 2.0, **changed}
    status["display"] = display(status)
    page.route(QUARTER, gives(status=503, json={"status": 503}))
    page.route("**/api/status", gives(status=200, json=status))
    page.goto(address)
    expect(page.get_by_text("ago")).to_be_visible(timeout=SOON)
    plain = browser.new_context(java_script_enabled=False).new_page()
    text = f"<!doctype html><style>.was {{ display: none }}</style>{snapshot(status, now).decode()}"
    plain.route("**/plain", gives(status=200, content_type="text/html; charset=utf-8", body=text))
    plain.goto(f"{address}/plain")
    for each in (page, plain):
        assert re.sub(r" for \d+ (d|h|min|s)\b", "", summary(each)) == sentence
        assert each.locator(".lede").all_inner_texts() == ([consequence] if consequence else [])
    for part in (".components b", ".components .state", ".components .latency"):
        assert plain.locator(part).all_inner_texts() == page.locator(part).all_inner_texts()
    assert plain.locator("h1").get_attribute("class") == page.locator("h1").get_attribute("class")
    assert ("pass" in str(page.locator("h1").get_attribute("class"))) == (name == "operational")
    plain.context.close()


def test_page_takes_its_words_from_the_api(page: Page, address: str) -> None:
    status = shapes.status(time.time(), "db", "cache")
    status["components"][0] |= REFUSED
    status["display"] = display(status) | {
        "summary": "Datenbank gestört",
        "headlines": [],
        "consequence": "Der Dienst steht.",
        "states": display(status)["states"] | {"fail": "Gestört"},
        "names": {"db": "Datenbank"},
    }
    page.route(QUARTER, gives(status=503, json={"status": 503}))
    page.route("**/api/status", gives(status=200, json=status))
    page.goto(address)
    expect(page.locator("h1")).to_have_text("Datenbank gestört", timeout=SOON)
    assert page.locator(".lede").inner_text() == "Der Dienst steht."
    assert page.locator(".components b").all_inner_texts() == ["Datenbank", "cache"]
    assert page.locator(".components .state").all_inner_texts() == ["Gestört: refused", "Operational"]


def test_page_accepts_an_api_of_an_earlier_release(page: Page, address: str) -> None:
    status = shapes.status(time.time(), "db", "cache") | {"status": "fail"}
    status["components"][0] |= REFUSED
    del status["display"]
    page.route(QUARTER, gives(status=503, json={"status": 503}))
    page.route("**/api/status", gives(status=200, json=status))
    page.goto(address)
    expect(page.locator("h1")).to_have_text("Status: fail", timeout=SOON)
    assert page.locator(".components .state").all_inner_texts() == ["fail: refused", "pass"]
    assert green(page) == 2  # the shape and the word of the cache
