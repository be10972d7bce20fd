"""Health answers, and the access to their details."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest

from service import __version__
from service.health.component import ProbeError
from service.health.report import Phase, Report, headers, is_answered_from_memory
from service.http import problem
from tests.service.stub_probe import StubProbe, component, raises

TOKEN = "a token of the tests: ü"
WELL, BROKEN = StubProbe(lambda: ""), StubProbe(raises(ProbeError("its_own", "postgresql://secret@host")))


def report(**probes: StubProbe) -> Report:
    """Return a report on components of these names, each checked once; db is critical."""
    found = {name: component(probe, name=name, critical=name == "db") for name, probe in probes.items()}
    for each in found.values():
        each.check()
    return Report(found, Phase(), TOKEN)


def document(found: Report, name: str, **given: bool) -> tuple[str, dict[str, Any]]:
    status, body = found.answer(name, **given)
    return status, json.loads(body)


@pytest.mark.parametrize(
    ("probes", "status"),
    [
        ({"db": WELL, "cache": WELL}, "pass"),
        ({"db": WELL, "cache": BROKEN}, "warn"),
        ({"db": BROKEN, "cache": WELL}, "fail"),
    ],
)
def test_report_of_all_has_the_overall_status(probes: dict[str, StubProbe], status: str) -> None:
    overall, body = document(report(**probes), "all")
    assert overall == body["status"] == status
    assert (body["version"], body["phase"], set(body["checks"])) == (__version__, "starting", {"db", "cache"})
    assert [check[0]["componentId"] for check in body["checks"].values()] == list(body["checks"])


def test_report_of_component_has_only_its_status() -> None:
    found = report(db=BROKEN, cache=WELL)
    assert document(found, "cache")[0] == "pass"
    status, body = document(found, "db")
    assert (status, body["status"], set(body), set(body["checks"])) == ("fail", "fail", {"status", "checks"}, {"db"})


def test_report_raises_for_unknown_name() -> None:
    with pytest.raises(KeyError):
        report(db=WELL).answer("nothing")


def test_report_shows_readiness_at_once() -> None:
    found = report(db=BROKEN)
    for phase, status in (("starting", "fail"), ("migrating", "fail"), ("ready", "pass"), ("draining", "fail")):
        found.phase.name = phase
        assert document(found, "ready") == (status, {"status": status, "phase": phase})


def test_rendered_answer_is_reused_for_one_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    found = report(db=WELL)
    first = found.answer("all")
    found.components["db"].check()
    now = 50.05
    assert found.answer("all")[1] is first[1]
    assert found.answer("all", details=True)[1] != first[1]  # which is for holders of the token
    now = 50.15
    assert found.answer("all")[1] is not first[1]


def test_report_details_need_the_token() -> None:
    found = report(db=BROKEN)
    assert "secret" not in found.answer("db")[1].decode()
    for name in ("db", "all"):
        (body,) = document(found, name, details=True)[1]["checks"]["db"]
        assert (body["address"], body["detail"]) == ("odd", "postgresql://secret@host")


@pytest.mark.parametrize(
    ("given", "may"),
    [
        (f"Bearer {TOKEN}".encode().decode("latin-1"), True),  # as a header arrives
        (f"bearer {TOKEN}", False),
        (f"Bearer {TOKEN} ", False),
        (TOKEN, False),
        ("Bearer", False),
        ("", False),
        ("Bearer 🙂", False),
    ],
)
def test_token_must_match_completely(given: str, may: bool) -> None:
    assert report(db=WELL).may_see_details(given) is may


@pytest.mark.parametrize("given", ["Bearer ", "Bearer", ""])
def test_details_are_closed_without_a_token(given: str) -> None:
    assert not Report({}, Phase()).may_see_details(given)


def test_each_path_has_a_status_of_http_and_a_body() -> None:
    found = report(db=WELL, cache=BROKEN)
    assert found.response("/health") == (200, f'{{"status":"pass","version":"{__version__}"}}'.encode())
    for path, status in {"/health/all": 200, "/health/db": 200, "/health/cache": 503, "/health/ready": 503}.items():
        answered = found.response(path)
        assert answered == (status, found.answer(path.removeprefix("/health/"))[1])
    assert found.response("/health/nothing") is None
    with_details, without = found.response("/health/cache", details=True), found.response("/health/cache")
    assert b"secret@host" in with_details[1]
    assert b"secret@host" not in without[1]


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/health", True),
        ("/health/", True),
        ("/health/db", True),
        ("/healthy", False),
        ("/", False),
        ("/a/health", False),
    ],
)
def test_a_health_path_is_answered_from_memory(path: str, known: bool) -> None:
    assert is_answered_from_memory(path) is known


def test_an_answer_that_says_no_says_when_to_ask_again() -> None:
    assert headers(200) == {"Content-Type": "application/health+json"}
    assert headers(503) == {
        "Content-Type": "application/health+json",
        "Retry-After": problem.RETRY_AFTER[HTTPStatus(503)],
    }
