"""Everybody can use the page: at every width, in the dark, with forced colours, on paper, by the keyboard."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from service.health.state import iso
from tests.browser import shapes
from tests.browser.conftest import SOON, accessible, keep, summary
from tests.browser.content.conftest import answering
from tests.checkout import eventually

pytestmark = pytest.mark.slow
WIDTHS = (320, 768, 1440)
DAY = 86_400.0
COVERED = """() => [...document.querySelectorAll(".plot span")].filter((label) => {
  const box = label.getBoundingClientRect();
  const others = [label.parentElement.querySelector("svg"), ...label.closest("article").querySelectorAll(".axis > *")];
  return box.width && others.map((each) => each.getBoundingClientRect()).some((other) =>
    box.left < other.right && box.right > other.left && box.top < other.bottom - 1 && box.bottom > other.top + 1);
}).length"""
"""How many labels of a chart lie on its lines, or on the times above it."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_open_incident_is_accessible_at_every_width(page: Page, address: str, scheme: Any) -> None:
    now = time.time()
    found = (
        shapes.incident(13, "db", now - 250, None, now, code="refused", note="We are restarting the primary."),
        shapes.incident(12, "cache", now - 32 * DAY, 7200, now, note="Evicted by a deploy that doubled the keys."),
        shapes.incident(3, "web", now - 200 * DAY, 60, now),
    )
    since = iso(now - 250)
    answering(page, shapes.full, *found, status="fail", since=since, output="refused", consecutiveFailures=9)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}/?window=90d")
    expect(page.locator("#incidents li")).to_have_count(2, timeout=SOON)
    assert summary(page) == "Database disrupted for 4 min"
    assert page.locator(".lede").inner_text() == (
        "The service cannot operate without it. Still operational: Cache, Web server."
    )
    row = page.locator(".components li").first
    assert row.inner_text().split("\n")[1] == "Disrupted: refused"
    expect(row.locator(".shape")).to_have_css("border-radius", "0px")
    assert page.title() == "Database disrupted · shop"
    assert "d13b30" in str(page.locator("link[rel=icon]").get_attribute("href"))
    expect(page.get_by_role("status")).to_have_text("Database disrupted")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(COVERED) == 0
        keep(page, f"{scheme}-{width}")
    accessible(page)
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    accessible(page)


def test_forced_colours_and_print_lose_nothing(page: Page, address: str) -> None:
    answering(page, shapes.full, status="fail", consecutiveFailures=3)
    page.emulate_media(forced_colors="active", reduced_motion="reduce")
    page.goto(address)
    expect(page.locator(".bar")).to_have_count(3, timeout=SOON)
    colour = page.locator(".components .shape").first.evaluate("e => getComputedStyle(e).backgroundColor")
    assert colour not in {"rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"}
    assert page.evaluate("document.getAnimations().length") == 0
    keep(page, "forced-colours")
    page.emulate_media(media="print", forced_colors="none")
    assert not page.get_by_role("button", name="Light / dark").is_visible()
    assert page.locator(".bar").first.is_visible()
    keep(page, "print")


def test_focus_and_open_table_survive_updates(page: Page, address: str) -> None:
    answering(page, shapes.full)
    page.clock.install()
    page.set_viewport_size({"width": 320, "height": 700})
    page.goto(address)
    expect(page.locator("summary")).to_have_count(3, timeout=SOON)

    def has_new_answers() -> None:
        page.evaluate("document.querySelectorAll('article').forEach((each) => { each.old = true; })")
        page.clock.run_for(18_000)
        eventually(lambda: page.evaluate("![...document.querySelectorAll('article')].some((each) => each.old)"), "news")

    focused = "document.activeElement.ariaLabel ?? document.activeElement.innerText"
    page.locator("summary").nth(1).focus()
    has_new_answers()
    assert page.evaluate(focused) == "Statistics for Cache"
    page.keyboard.press("Enter")
    region = page.get_by_role("region", name="Statistics for Cache")
    region.focus()
    region.evaluate("region => region.scrollTo(30, 200)")
    page.evaluate("scrollTo(0, 0)")
    for _ in range(2):
        has_new_answers()
        assert page.evaluate("[document.activeElement.role, document.activeElement.ariaLabel]") == [
            "region",
            "Statistics for Cache",
        ]
        assert region.evaluate("region => [region.scrollLeft, region.scrollTop]") == [30, 200]
        assert page.evaluate("scrollY") == 0
    page.locator(".bar").nth(2).locator("span").last.focus()
    page.keyboard.press("Home")
    has_new_answers()
    assert page.locator(".bar").nth(2).locator("span").first.evaluate("first => first === document.activeElement")
