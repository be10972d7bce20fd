"""The status page over answers of every shape, and over what is none."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser import shapes
from tests.browser.conftest import SOON, accessible, green, keep, summary
from tests.browser.nginx import nginx

pytestmark = pytest.mark.slow
QUARTER = "**/api/**"
WIDTHS = (320, 768, 1440)
DAY = 86_400.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page behind nginx alone; what its API says is made up here."""
    place = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    place.chmod(0o755)
    with nginx(place / "shop") as found:
        yield f"http://127.0.0.1:{found.ports['WEB_PORT']}"
    shutil.rmtree(place)


def answering(
    page: Page, shape: shapes.Shape, *incidents: dict[str, Any], names: tuple[str, ...] = (), **changes: Any
) -> None:
    """Have the API's questions answered with a shape; `changes` are those of the first component."""

    def answer(route: Route) -> None:
        url, now = urlsplit(route.request.url), time.time()
        asked = parse_qs(url.query)
        if url.path == "/api/status":
            route.fulfill(json=shapes.status(now, *names, **changes))
        elif url.path == "/api/history":
            route.fulfill(json=shapes.history(shape, asked["component"][0], asked["window"][0], now))
        else:
            route.fulfill(json=shapes.incidents(*incidents))

    page.route(QUARTER, answer)


def states(page: Page) -> list[str]:
    """Return the states of the first bar's segments."""
    return [
        str(each)
        for each in page.locator(".bar").first.locator("span").evaluate_all("all => all.map(e => e.className)")
    ]


def test_a_history_without_samples_has_no_figures(page: Page, address: str) -> None:
    answering(page, shapes.empty)
    page.goto(address)
    expect(page.get_by_text("no samples yet")).to_have_count(3, timeout=SOON)
    assert states(page) == ["no_data"] * 96
    assert page.locator("svg").count() == 0
    expect(page.locator("#incidents")).to_have_text("None known in this time.")
    assert page.evaluate("document.querySelector('.bar span').getBoundingClientRect().height") > 0
    keep(page, "empty")


def test_a_stack_without_components_is_not_well(page: Page, address: str) -> None:
    page.route(QUARTER, gives(status=200, json={**shapes.status(time.time()), "components": []}))
    page.goto(address)
    expect(page.locator("h1")).to_have_text("Unknown: there are no components", timeout=SOON)
    assert page.title() == "Unknown: there are no components · shop"
    assert green(page) == 0


def test_one_sample_is_one_segment_and_a_line_that_can_be_seen(page: Page, address: str) -> None:
    answering(page, shapes.one_sample)
    page.goto(f"{address}/?window=7d")
    expect(page.get_by_text("100 % up in 1 sample", exact=True)).to_have_count(3, timeout=SOON)
    assert states(page) == ["no_data"] * 83 + ["pass"]
    assert page.locator("path.p50_ms").first.evaluate("line => line.getTotalLength()") == 1
    page.get_by_text("Figures of Database").click()
    expect(page.locator("tbody tr, table tr:has(td)")).to_have_count(1)


def test_gaps_are_drawn_as_gaps_and_a_last_part_that_is_not_over_is_shorter(page: Page, address: str) -> None:
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_open_incident_looks_right_and_is_accessible_at_every_width(page: Page, address: str, scheme: Any) -> None:
    now = time.time()
    found = (
        shapes.incident(13, "db", now - 250, None, now, code="refused", note="We are restarting the primary."),
        shapes.incident(12, "cache", now - 32 * DAY, 7200, now, note="Evicted by a deploy that doubled the keys."),
        shapes.incident(3, "web", now - 200 * DAY, 60, now),
    )
    since = shapes.windows.iso(now - 250)
    answering(page, shapes.full, *found, status="fail", since=since, output="refused", consecutiveFailures=9)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}/?window=90d")
    expect(page.locator("#incidents li")).to_have_count(2, timeout=SOON)
    assert summary(page) == "Database disrupted for 4 min"
    assert page.locator(".lede").inner_text() == (
        "The service cannot do its work without it. Still operational: Cache, Web server."
    )
    row = page.locator(".components li").first
    assert row.inner_text().split("\n")[1] == "Disrupted: refused"
    assert row.locator(".shape").evaluate("e => getComputedStyle(e).borderRadius") == "0px"
    assert page.title() == "Database disrupted · shop"
    assert "d13b30" in str(page.locator("link[rel=icon]").get_attribute("href"))
    expect(page.get_by_role("status")).to_have_text("Database disrupted")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, f"{scheme}-{width}")
    accessible(page)
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    accessible(page)


def test_forced_colours_less_motion_and_paper_lose_nothing(page: Page, address: str) -> None:
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


def test_hostile_names_are_texts(page: Page, address: str) -> None:
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


def gives(**how: Any) -> Callable[[Route], None]:
    """Return what answers a request so."""
    return lambda route: route.fulfill(**how)


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


def test_nothing_stays_green_on_what_is_no_answer(page: Page, address: str) -> None:
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
        expect(each.locator("#notice"), name).to_contain_text("cannot be read now. This is what was known on ")
        assert each.title() == "Unknown · shop", name
        expect(each.get_by_text("As of "), name).to_contain_text(re.compile(r"\d+ s ago · asking (again in|now)"))
    keep(pages["401"], "unknown")
    accessible(pages["401"])


def test_a_history_that_is_stale_or_missing_says_so_while_the_present_is_known(page: Page, address: str) -> None:
    def past(route: Route) -> None:
        now = time.time()
        if "component=db" in route.request.url:
            route.fulfill(status=503, json={"status": 503})
        else:
            route.fulfill(json={**shapes.history(shapes.full, "cache", "24h", now - 300), "stale": True})

    answering(page, shapes.full, status="fail", consecutiveFailures=2)
    page.route("**/api/history**", past)
    page.goto(address)
    expect(page.locator("#notice")).to_contain_text("This is what was known on ", timeout=SOON)
    assert page.locator("#histories .last, #histories.last").count() == 1
    assert summary(page).startswith("Database disrupted")
    expect(page.locator(".bar")).to_have_count(2)
