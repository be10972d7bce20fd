"""The history of each component with answers of every shape: bars, gaps, shares, and times in every zone."""

from __future__ import annotations

import re
import time
from datetime import datetime

import pytest
from playwright.sync_api import Browser, Page, expect

from service.health.state import iso
from tests.browser import shapes
from tests.browser.conftest import SOON, keep
from tests.browser.content.conftest import answering

pytestmark = pytest.mark.slow
DAY = 86_400.0


def states(page: Page) -> list[str]:
    """Return the states of the first bar's segments."""
    return [
        str(each)
        for each in page.locator(".bar").first.locator("span").evaluate_all("all => all.map(e => e.className)")
    ]


def test_history_without_samples_has_no_statistics(page: Page, address: str) -> None:
    answering(page, shapes.empty)
    page.goto(address)
    expect(page.get_by_text("no samples yet")).to_have_count(3, timeout=SOON)
    assert states(page) == ["no_data"] * 96
    assert page.locator("svg").count() == 0
    expect(page.locator("#incidents")).to_have_text("None in this period.")
    assert page.evaluate("document.querySelector('.bar span').getBoundingClientRect().height") > 0
    keep(page, "empty")


def test_single_sample_is_one_visible_segment(page: Page, address: str) -> None:
    answering(page, shapes.one_sample)
    page.goto(f"{address}/?window=7d")
    expect(page.get_by_text("up in 1 of 1 sample", exact=True)).to_have_count(3, timeout=SOON)
    assert states(page) == ["no_data"] * 83 + ["pass"]
    assert page.locator("path.p50_ms").first.evaluate("line => line.getTotalLength()") == 1
    page.get_by_text("Statistics for Database").click()
    expect(page.locator("tbody tr, table tr:has(td)")).to_have_count(1)


@pytest.mark.parametrize(
    ("passed", "failed", "share"),
    [
        (2, 1, "up in 2 of 3 samples"),
        (98, 1, "up in 98 of 99 samples"),
        (99, 1, "99 % up in 100 samples"),
        (8639, 1, "99.98 % up in 8,640 samples"),
    ],
)
def test_few_samples_have_no_percentage(page: Page, address: str, passed: int, failed: int, share: str) -> None:
    answering(page, lambda window, _: [shapes.row(window.count - 1, passed=passed, failed=failed)])
    page.goto(address)
    expect(page.get_by_text(share, exact=True)).to_have_count(3, timeout=SOON)


AUTUMN = {
    "Europe/Berlin": ("2026-10-25T01:10:00+00:00", "25 Oct, 02:45 CEST to 25 Oct, 02:00 CET", "02:09:58 CET"),
    "America/New_York": ("2026-11-01T06:10:00+00:00", "1 Nov, 01:45 GMT-4 to 1 Nov, 01:00 GMT-5", "01:09:58 GMT-5"),
    "Australia/Lord_Howe": (
        "2027-04-03T15:10:00+00:00",
        "4 Apr, 01:45 GMT+11 to 4 Apr, 01:30 GMT+10:30",
        "01:39:58 GMT+10:30",
    ),
}
"""Where the clocks are set back: ten minutes after that, the quarter of an hour before it, and the last check."""
TIME_WITHOUT_ZONE = re.compile(r"(?<![+-])\d\d:\d\d(?::\d\d)?(?![:\d])(?! (?:CES?T|GMT[+-]\d))")


@pytest.mark.parametrize("zone", AUTUMN)
def test_repeated_hour_shows_time_zones(browser: Browser, address: str, zone: str) -> None:
    text, before, as_of = AUTUMN[zone]
    now = datetime.fromisoformat(text).timestamp()
    page = browser.new_context(timezone_id=zone, viewport={"width": 320, "height": 900}).new_page()
    answering(page, shapes.full, shapes.incident(1, "db", now - 1200, 1200, now), now=now, since=iso(now - 900))
    page.goto(address)
    expect(page.locator(".bar")).to_have_count(3, timeout=SOON)
    expect(page.get_by_text("As of ").first).to_contain_text(as_of)
    segment = page.locator(".bar").first.locator("span").nth(-2)
    assert str(segment.get_attribute("aria-label")).startswith(before)
    page.get_by_text("Statistics for Database").click()
    first, second = page.locator("#incidents time").all_inner_texts()
    assert first.split()[-1] != second.split()[-1]  # the one zone, and the other
    labels = page.locator("[aria-label]").evaluate_all("all => all.map((each) => each.ariaLabel)")
    assert TIME_WITHOUT_ZONE.findall("\n".join([page.locator("main").inner_text(), *labels])) == []
    instants = page.locator("tbody time, table time").evaluate_all("all => all.map((each) => each.dateTime)")
    assert len(instants) > 50
    assert instants == sorted(instants, reverse=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    keep(page, f"autumn-{zone.replace('/', '-')}-320")
    page.set_viewport_size({"width": 1440, "height": 900})
    keep(page, f"autumn-{zone.replace('/', '-')}-1440")
    page.context.close()


def test_gaps_and_partial_segments_are_drawn(page: Page, address: str) -> None:
    answering(page, shapes.full)
    page.goto(f"{address}/?window=90d")
    expect(page.locator(".bar")).to_have_count(3, timeout=SOON)
    found = states(page)
    gap = [number for number, state in enumerate(found) if state == "no_data"]
    assert gap == list(range(gap[0], gap[-1] + 1))
    assert len(gap) == 6
    heights = {
        state: page.locator(f".bar .{state}").first.evaluate("e => getComputedStyle(e, '::before').height")
        for state in ("pass", "warn", "fail", "no_data")
    }
    assert len(set(heights.values())) == 4
    line = str(page.locator("path.p50_ms").first.get_attribute("d"))
    assert line.count("M") == 2
    assert f"M{gap[-1] + 1} " in line
    widths = (
        page.locator(".bar").first.locator("span").evaluate_all("all => all.map(e => e.getBoundingClientRect().width)")
    )
    over = time.time() % DAY / DAY
    assert widths[-1] == pytest.approx(widths[0] * over, abs=0.5)
