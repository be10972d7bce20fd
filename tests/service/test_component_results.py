"""The state and the log of a component, and the time of its next check, with settable clocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service.health.component import Component, ProbeError, iso
from tests.service.stub_probe import StubProbe, check_result, component, raises

NOON = 1_741_694_400.0
PASS, FAIL, WARN = "", ConnectionRefusedError("no one at 10.0.0.1"), "pool_exhausted"


class Clock:
    """Both clocks of the machine; a look takes 12.3456 ms."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return 7.0 + self.seconds

    def time(self) -> float:
        return NOON + self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("time.monotonic", found.monotonic)
    monkeypatch.setattr("time.time", found.time)
    return found


def watched(clock: Clock, *results: str | Exception, **more: Any) -> Component:
    """Return a component whose looks have these results."""
    left = iter(results)

    def act() -> object:
        clock.seconds += 0.0123456
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return result

    return component(StubProbe(act), **more)


def look(found: Component, clock: Clock, times: int = 1) -> None:
    for _ in range(times):
        found.check()
        clock.seconds += 10 - 0.0123456


def test_component_is_unknown_before_first_check(clock: Clock) -> None:
    assert watched(clock).to_dict(details=True) == {
        "componentId": "it",
        "componentType": "datastore",
        "status": "unknown",
        "since": "2025-03-11T12:00:00.000Z",
        "consecutiveFailures": 0,
        "output": "not_probed",
    }


def test_passing_component_reports_its_measurement(clock: Clock) -> None:
    found = watched(clock, PASS, interval=60)
    look(found, clock)
    assert found.to_dict() == {
        "componentId": "it",
        "componentType": "datastore",
        "status": "pass",
        "since": "2025-03-11T12:00:00.012Z",
        "consecutiveFailures": 0,
        "lastOk": "2025-03-11T12:00:00.012Z",
        "time": "2025-03-11T12:00:00.012Z",
        "age": 10.0,
        "observedValue": 12.35,
        "observedUnit": "ms",
    }
    assert found.to_dict(details=True) == found.to_dict() | {"address": "odd"}


def test_single_failure_is_reported_and_changes_nothing_else(clock: Clock) -> None:
    found = watched(clock, PASS, FAIL, PASS, interval=60, fall=2)
    look(found, clock, 2)
    document = found.to_dict()
    assert (document["status"], document["output"], document["consecutiveFailures"]) == ("pass", "refused", 1)
    assert (document["since"], document["lastOk"]) == ("2025-03-11T12:00:00.012Z",) * 2
    assert document["time"] == "2025-03-11T12:00:10.012Z"
    assert found.to_dict(details=True)["detail"] == "no one at 10.0.0.1"
    look(found, clock)
    assert "output" not in found.to_dict()


def test_recovery_is_reported_before_status_changes(clock: Clock) -> None:
    found = watched(clock, FAIL, PASS, interval=60, rise=2)
    look(found, clock, 2)
    document = found.to_dict()
    assert (document["status"], document["output"], document["consecutiveFailures"]) == ("fail", "recovering", 0)
    assert "lastOk" in document
    assert "detail" not in found.to_dict(details=True)


def test_warning_is_reported_with_its_code(clock: Clock) -> None:
    found = watched(clock, WARN, interval=60)
    look(found, clock)
    assert (found.to_dict()["status"], found.to_dict()["output"]) == ("warn", "pool_exhausted")


@pytest.mark.parametrize("seconds", [299.9, 300.1])
def test_result_is_valid_for_three_intervals(clock: Clock, seconds: float) -> None:
    found = watched(clock, PASS, interval=90, deadline=10)
    found.check()
    clock.seconds += seconds
    assert (found.status, found.to_dict().get("output")) == (("pass", None) if seconds < 300 else ("unknown", "stale"))


def test_stale_component_is_unknown_since_last_check(clock: Clock) -> None:
    found = watched(clock, PASS, PASS, FAIL, interval=9, deadline=1, fall=2)
    look(found, clock, 3)
    assert found.to_dict()["since"] == "2025-03-11T12:00:00.012Z"
    clock.seconds += 30
    document = found.to_dict()
    assert (document["status"], document["since"]) == ("unknown", "2025-03-11T12:00:20.012Z")


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (TimeoutError("after 1 s"), "timeout", "after 1 s"),
        (ConnectionRefusedError("no"), "refused", "no"),
        (ProbeError("its_own", "more"), "its_own", "more"),
        (ProbeError("its_own"), "its_own", "its_own"),
        (ValueError("x"), "error", "ValueError: x"),
        (ValueError("y" * 600), "error", "ValueError: " + "y" * 488),
    ],
)
def test_error_has_code_and_text(error: Exception, code: str, detail: str) -> None:
    found = component(StubProbe(raises(error)))
    assert check_result(found) == ("fail", code)
    assert found.to_dict(details=True)["detail"] == detail


def test_invalid_probe_result_is_quoted() -> None:
    found = component(StubProbe(lambda: {"status": "pass"}))
    assert check_result(found) == ("fail", "invalid")
    assert found.to_dict(details=True)["detail"] == "the probe returned {'status': 'pass'}"


def test_change_is_logged_with_all_fields(clock: Clock) -> None:
    found = watched(clock, PASS, PASS, FAIL)
    with structlog.testing.capture_logs() as lines:
        look(found, clock, 3)
    assert lines[1:] == [
        {
            "event": "component changed",
            "log_level": "warning",
            "component": "it",
            "before": "pass",
            "now": "fail",
            "code": "refused",
            "detail": "no one at 10.0.0.1",
            "lasted_s": 20.0,
        }
    ]


def test_slow_check_is_aborted_and_timely_one_is_not() -> None:
    aborted = threading.Event()

    class Slow(StubProbe):
        def abort(self) -> None:
            aborted.set()

    slow = component(Slow(lambda: str(aborted.wait(60) or "")), deadline=0.05)
    slow.check()
    assert aborted.is_set()
    assert slow.to_dict(details=True)["detail"] == "no result within 0.05 s"
    aborted.clear()
    quick = component(Slow(lambda: ""), deadline=0.05)
    quick.check()
    assert not aborted.wait(0.2)
    assert quick.status == "pass"


def test_stopped_component_reports_nothing_new() -> None:
    found = component(StubProbe(lambda: ""))
    found.check()
    known = found.state
    found.stop()
    found.check()
    assert found.state is known


class Pauses:
    """In place of the event that ends the checks: notes how long the thread would wait, and ends it after some."""

    def __init__(self, most: int) -> None:
        self.seconds: list[float] = []
        self.most = most

    def is_set(self) -> bool:
        return len(self.seconds) >= self.most

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.mark.parametrize(
    ("letters", "seconds"),
    [
        pytest.param("pppp", [5, 5, 5, 5], id="a component that is well is check_result at each interval"),
        pytest.param("ppfpp", [5, 5, 0.1, 5, 5], id="a single failure is checked again at once"),
        pytest.param("pffffffff", [5, 0.1, 0.2, 0.4, 0.8, 1, 1, 1, 1], id="one that is down less and less often"),
        pytest.param("fffffppp", [0.1, 0.2, 0.4, 0.8, 1, 0.1, 5, 5], id="a return is check_result into at once"),
    ],
)
def test_next_check_comes_soon_after_a_change(letters: str, seconds: list[float]) -> None:
    def answers() -> Iterator[str]:
        yield from letters

    left = answers()
    found = component(
        StubProbe(lambda: "" if next(left) == "p" else raises(ValueError("x"))()), interval=5, rise=2, fall=2
    )
    found._stopping = pauses = Pauses(len(letters))  # type: ignore[assignment]
    found._check_forever()
    assert pauses.seconds == pytest.approx(seconds)


def test_pause_never_exceeds_the_interval() -> None:
    found = component(StubProbe(raises(ValueError("x"))), interval=0.3)
    found._stopping = pauses = Pauses(4)  # type: ignore[assignment]
    found._check_forever()
    assert pauses.seconds == pytest.approx([0.1, 0.2, 0.3, 0.3])


def test_check_that_cannot_start_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = component(StubProbe(lambda: ""), interval=5)
    monkeypatch.setattr("threading.Timer.start", raises(RuntimeError("can't start new thread")))
    found._stopping = pauses = Pauses(3)  # type: ignore[assignment]
    with structlog.testing.capture_logs() as lines:
        found._check_forever()
    assert len(pauses.seconds) == 3
    assert [(line["event"], line["component"]) for line in lines] == [("check failed", "it")] * 3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(NOON, "2025-03-11T12:00:00.000Z"), (NOON + 0.0016, "2025-03-11T12:00:00.001Z"), (0, "1970-01-01T00:00:00.000Z")],
)
def test_iso_is_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert iso(seconds) == text


@pytest.mark.parametrize(
    ("before", "results", "statuses"),
    [
        pytest.param("", "ffp", "unknown unknown pass", id="a fresh start: the first success counts at once"),
        pytest.param("", "ffffffff", "unknown " * 6 + "fail fail", id="never healthy: an outage after the grace"),
        pytest.param("fail", "ff", "fail fail", id="a restart during an outage: the outage goes on"),
        pytest.param("warn", "fp", "fail pass", id="a restart while it was degraded"),
        pytest.param("pass", "fffp", "unknown unknown fail pass", id="healthy just before: little time to come back"),
        pytest.param("", "pfp", "pass fail pass", id="healthy, then down within the grace"),
        pytest.param("", "wfw", "warn fail warn", id="degraded, then down within the grace"),
    ],
)
def test_failure_right_after_start_is_no_outage(clock: Clock, before: str, results: str, statuses: str) -> None:
    found = watched(clock, *({"p": PASS, "f": FAIL, "w": WARN}[each] for each in results), grace=60)
    if before:
        found.remember(before)
    said = []
    for _ in results:
        look(found, clock)
        said.append(found.state.status)
    assert said == statuses.split()


def test_starting_component_reports_reason_and_since(clock: Clock) -> None:
    found = watched(clock, FAIL, FAIL, FAIL, grace=15)
    look(found, clock, 2)
    document = found.to_dict()
    assert (document["status"], document["output"], document["consecutiveFailures"]) == ("unknown", "refused", 2)
    assert document["since"] == "2025-03-11T12:00:00.000Z"
    assert found.down  # so nobody waits for it
    look(found, clock)
    assert (found.to_dict()["status"], found.to_dict()["since"]) == ("fail", "2025-03-11T12:00:00.000Z")


def test_unchecked_component_is_not_down(clock: Clock) -> None:
    found = watched(clock, PASS, FAIL, grace=60)
    assert [found.down, look(found, clock), found.down, look(found, clock), found.down] == [
        False,
        None,
        False,
        None,
        True,
    ]


def test_starting_component_is_checked_often(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    found = watched(clock, *[FAIL] * 6, PASS, grace=60, interval=2.0)
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        clock.seconds += seconds
        pauses.append(seconds)
        if len(pauses) > 6:
            found._stopping.set()
        return False

    monkeypatch.setattr(found._stopping, "wait", wait)
    found._check_forever()
    assert pauses == [0.1] * 6 + [2.0]
