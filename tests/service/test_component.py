"""A component whose probe fails, hangs, or returns nonsense."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import structlog

from service.health.component import ProbeError
from tests.checkout import eventually
from tests.service.stub_probe import StubProbe, check_result, code, component, raises

IS_THREADS = "probe-", "deadline-"


@pytest.mark.parametrize(
    ("act", "word"),
    [
        (raises(ValueError("x")), "error"),
        (raises(RecursionError()), "error"),
        (raises(MemoryError()), "error"),
        (raises(ProbeError("its_own", "y")), "its_own"),
        (lambda: None, "invalid"),
        (lambda: 7, "invalid"),
        (lambda: {"status": "pass"}, "invalid"),
    ],
)
def test_probe_that_raises_or_returns_nonsense_fails(act: Callable[[], object], word: str) -> None:
    assert check_result(component(StubProbe(act))) == ("fail", word)


def test_hung_probe_fails_once_and_harms_no_other() -> None:
    released = threading.Event()
    hanging = component(StubProbe(lambda: str(released.wait(60) or "")), deadline=0.1)
    well = component(StubProbe(lambda: ""))
    for each in (hanging, well):
        each.start()
    try:
        eventually(lambda: hanging.status == "fail", "it fails")
        assert code(hanging) == "timeout"
        before = well.state.last
        eventually(lambda: well.state.last != before, "the other one is check_result at")
        assert well.status == "pass"
        ours = [thread.name for thread in threading.enumerate() if thread.name.startswith(IS_THREADS)]
        assert ours.count("probe-it") == 2
        assert ours.count("deadline-it") <= 2
    finally:
        released.set()
        for each in (hanging, well):
            each.stop()


def test_result_after_the_deadline_is_ignored() -> None:
    hold = threading.Event()
    found = component(StubProbe(lambda: str(hold.wait(60) or "")), deadline=0.1)
    checking = threading.Thread(target=found.check)
    checking.start()
    eventually(lambda: found.status == "fail", "it fails")
    hold.set()
    checking.join()
    assert (found.status, code(found), found.state.failures) == ("fail", "timeout", 1)


def test_flapping_component_is_logged_once() -> None:
    answers = iter([*"p", *"fp" * 20])
    found = component(StubProbe(lambda: "" if next(answers) == "p" else raises(ValueError("x"))()), rise=2, fall=2)
    with structlog.testing.capture_logs() as lines:
        for _ in range(41):
            found.check()
    assert [(line["before"], line["now"]) for line in lines] == [("unknown", "pass")]


def test_each_change_is_logged_once() -> None:
    answers = iter("ppfffpp")
    found = component(StubProbe(lambda: "" if next(answers) == "p" else raises(ValueError("x"))()), rise=2, fall=2)
    with structlog.testing.capture_logs() as lines:
        for _ in range(7):
            found.check()
    assert [(line["before"], line["now"], line["log_level"]) for line in lines] == [
        ("unknown", "pass", "info"),
        ("pass", "fail", "warning"),
        ("fail", "pass", "info"),
    ]


def test_ages_survive_clock_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = component(StubProbe(lambda: ""))
    found.check()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 100_000)
    assert found.age is not None
    assert found.age < 50
    assert found.status == "pass"


def test_unchecked_component_becomes_unknown() -> None:
    found = component(StubProbe(lambda: ""), interval=0.01, deadline=0.3)
    found.check()
    eventually(lambda: found.status == "unknown", "its result is too old")
    assert code(found) == "stale"


def test_addresses_and_errors_appear_only_with_details() -> None:
    found = component(StubProbe(raises(ProbeError("broken", "postgresql://secret@host"))))
    found.check()
    assert "secret" not in str(found.to_dict())
    assert found.to_dict(details=True)["detail"] == "postgresql://secret@host"
    assert found.to_dict(details=True)["address"] == "odd"
