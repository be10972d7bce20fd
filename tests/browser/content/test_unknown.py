"""What is not known is not shown as well: invalid answers, stale ones, and none."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from service.snapshot import display
from tests.browser import shapes
from tests.browser.conftest import SOON, accessible, green, keep, summary
from tests.browser.content.conftest import QUARTER, answering, gives

pytestmark = pytest.mark.slow


def test_stack_without_components_is_not_operational(page: Page, address: str) -> None:
    status = shapes.status(time.time()) | {"components": []}
    page.route(QUARTER, gives(status=200, json=status | {"display": display(status)}))
    page.goto(address)
    expect(page.locator("h1")).to_have_text("Unknown: no components are configured", timeout=SOON)
    assert page.title() == "Unknown: no components are configured · shop"
    assert green(page) == 0


UNKNOWN_STATE = [{"name": "db", "status": "great", "since": "2027-01-01T00:00:00Z"}]
NO_ANSWERS: dict[str, Callable[[Route], None]] = {
    "502 in HTML": gives(status=502, content_type="text/html", body="<h1>502 Bad Gateway</h1>"),
    "truncated": gives(status=200, content_type="application/json", body='{"status": "pass", "compon'),
    "of another shape": gives(status=200, json={"status": "pass", "components": []}),
    "with an unknown state": gives(status=200, json={**shapes.status(0.0), "components": UNKNOWN_STATE}),
    "null": gives(status=200, json=None),
    "401": gives(status=401, json={"status": 401}),
    "refused": lambda route: route.abort(),
    "silence": lambda _route: None,
}


def test_nothing_stays_green_after_invalid_answers(page: Page, address: str) -> None:
    pages = {name: page.context.new_page() for name in NO_ANSWERS}
    for each in pages.values():
        answering(each, shapes.full)
        each.goto(address)
    for name, each in pages.items():
        expect(each.locator(".bar"), name).to_have_count(3, timeout=SOON)
        assert green(each) > 10, name
        each.route(QUARTER, NO_ANSWERS[name])
    for name, each in pages.items():
        expect(each.locator("h1"), name).to_contain_text("Unknown: no answer from the API for ", timeout=SOON)
        assert green(each) == 0, name
        assert each.locator(".components .state").all_inner_texts() == ["Unknown, was operational"] * 3, name
        expect(each.locator("#notice"), name).to_contain_text("is unavailable. Last known state: ")
        assert each.title() == "Unknown · shop", name
        expect(each.get_by_text("As of "), name).to_contain_text(re.compile(r"\d+ s ago · retrying (in|now)"))
    keep(pages["401"], "unknown")
    accessible(pages["401"])


def test_stale_or_missing_history_is_marked(page: Page, address: str) -> None:
    def past(route: Route) -> None:
        now = time.time()
        if "component=db" in route.request.url:
            route.fulfill(status=503, json={"status": 503})
        else:
            route.fulfill(json={**shapes.history(shapes.full, "cache", "24h", now - 300), "stale": True})

    answering(page, shapes.full, status="fail", consecutiveFailures=2)
    page.route("**/api/history**", past)
    page.goto(address)
    expect(page.locator("#notice")).to_contain_text("Last known state: ", timeout=SOON)
    assert page.locator("#histories .last, #histories.last").count() == 1
    assert summary(page).startswith("Database disrupted")
    expect(page.locator(".bar")).to_have_count(2)
