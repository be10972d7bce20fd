"""The list of incidents: what is in it, that it may be cut off, and that its absence is claimed only if known."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser import shapes
from tests.browser.conftest import SOON, accessible
from tests.browser.content.conftest import QUARTER, answering, gives

pytestmark = pytest.mark.slow

STALE = {**shapes.incidents(), "stale": True}
UNKNOWN_PASTS = {
    "incidents refused": ("**/api/incidents?**", gives(status=503, json={"status": 503})),
    "incidents stale": ("**/api/incidents?**", gives(status=200, json=STALE)),
    "incidents not there yet": ("**/api/incidents?**", lambda _route: None),
    "history refused": ("**/api/history?**", gives(status=503, json={"status": 503})),
}


def test_absence_of_incidents_is_claimed_only_if_known(page: Page, address: str) -> None:
    pages = {name: page.context.new_page() for name in UNKNOWN_PASTS}
    for name, each in pages.items():
        answering(each, shapes.full)
        each.route(*UNKNOWN_PASTS[name])
        each.goto(address)
    for name, each in pages.items():
        expect(each.locator("#incidents"), name).to_have_text("Currently unknown.", timeout=SOON)
    well = pages["history refused"]
    well.unroute(UNKNOWN_PASTS["history refused"][0])
    expect(well.locator("#incidents")).to_have_text("None in this period.", timeout=SOON)
    well.route(QUARTER, gives(status=502, body=""))
    expect(well.locator("#incidents")).to_have_text("Currently unknown.", timeout=SOON)


def test_open_incident_of_removed_component_is_hidden(page: Page, address: str) -> None:
    now = time.time()
    found = (
        shapes.incident(9, "db", now - 60, None, now),
        shapes.incident(8, "gone", now - 900, None, now),
        shapes.incident(7, "gone", now - 3600, 60, now),
    )
    answering(page, shapes.full, *found)
    page.goto(address)
    shown = page.locator("#incidents li")
    expect(shown).to_have_count(2, timeout=SOON)
    texts = shown.all_inner_texts()
    assert ["ongoing" in text for text in texts] == [True, False]
    assert ["incident 9" in texts[0], "incident 7" in texts[1]] == [True, True]


def test_truncated_incident_list_is_marked(page: Page, address: str) -> None:
    now = time.time()
    answering(page, shapes.full)
    asked: list[str] = []
    many = shapes.incidents(*(shapes.incident(200 - each, "db", now - 60 * each, 20, now) for each in range(1, 101)))

    def answer(route: Route) -> None:
        asked.append(urlsplit(route.request.url).query)
        route.fulfill(json={**many, "next": "mark"})

    page.route("**/api/incidents**", answer)
    page.goto(address)
    expect(page.locator("#incidents li")).to_have_count(100, timeout=SOON)
    assert page.locator("#incidents > p").all_inner_texts() == ["Older incidents are not shown."]
    assert set(asked) == {"limit=100"}
    accessible(page)
