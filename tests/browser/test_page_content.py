"""The status page with valid answers of every shape, and with invalid ones."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from service.health.state import iso
from service.snapshot import display, snapshot
from tests.browser import shapes
from tests.browser.conftest import SOON, accessible, green, keep, summary
from tests.browser.nginx import nginx
from tests.checkout import eventually

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
    page: Page,
    shape: shapes.Shape,
    *incidents: dict[str, Any],
    names: tuple[str, ...] = (),
    now: float = 0.0,
    **changes: Any,
) -> None:
    """Have the API's questions answered with a shape: now, or at another time; `changes` are the first component's."""
    given = now

    def answer(route: Route) -> None:
        url, now = urlsplit(route.request.url), given or time.time()
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


def test_history_without_samples_has_no_statistics(page: Page, address: str) -> None:
    answering(page, shapes.empty)
    page.goto(address)
    expect(page.get_by_text("no samples yet")).to_have_count(3, timeout=SOON)
    assert states(page) == ["no_data"] * 96
    assert page.locator("svg").count() == 0
    expect(page.locator("#incidents")).to_have_text("None in this period.")
    assert page.evaluate("document.querySelector('.bar span').getBoundingClientRect().height") > 0
    keep(page, "empty")


def test_stack_without_components_is_not_operational(page: Page, address: str) -> None:
    status = shapes.status(time.time()) | {"components": []}
    page.route(QUARTER, gives(status=200, json=status | {"display": display(status)}))
    page.goto(address)
    expect(page.locator("h1")).to_have_text("Unknown: no components are configured", timeout=SOON)
    assert page.title() == "Unknown: no components are configured · shop"
    assert green(page) == 0


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
