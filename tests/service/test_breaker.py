"""The circuit breaker: when it admits callers."""

from __future__ import annotations

import pytest

from service import breaker
from service.breaker import Breaker


class Clock:
    """A clock that a test sets, and chance that it knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.chance: list[tuple[float, float]] = []
        monkeypatch.setattr(breaker.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(breaker.random, "uniform", self._uniform)

    def _uniform(self, low: float, high: float) -> float:
        self.chance.append((low, high))
        return high


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_breaker_admits_everyone_at_first(clock: Clock) -> None:
    found = Breaker()
    assert [found.admits() for _ in range(3)] == [True] * 3
    assert found.state == "closed"


def test_breaker_admits_nobody_during_the_pause(clock: Clock) -> None:
    found = Breaker(pause=2.0)
    found.failed()
    assert found.state == "open"
    assert clock.chance == [(1.0, 1.5)]
    clock.now += 2.999
    assert not found.admits()
    clock.now = 1003.0
    assert found.admits()


def test_breaker_pause_defaults_to_a_second(clock: Clock) -> None:
    found = Breaker()
    found.failed()
    clock.now += 1.499
    assert not found.admits()
    clock.now += 0.002
    assert found.admits()


def test_breaker_admits_one_trial_at_a_time(clock: Clock) -> None:
    found = Breaker()
    found.failed()
    clock.now += 10
    assert [found.admits() for _ in range(3)] == [True, False, False]
    assert found.state == "half_open"


def test_breaker_closes_after_successful_trial(clock: Clock) -> None:
    found = Breaker()
    found.failed()
    clock.now += 10
    assert found.admits()
    found.succeeded()
    assert found.state == "closed"
    assert [found.admits() for _ in range(2)] == [True] * 2


def test_breaker_pauses_again_after_failed_trial(clock: Clock) -> None:
    found = Breaker()
    found.failed()
    clock.now += 10
    assert found.admits()
    found.failed()
    assert (found.state, found.admits()) == ("open", False)
    clock.now += 10
    assert found.admits()


def test_breaker_is_open_while_server_is_known_down(clock: Clock) -> None:
    down = True
    found = Breaker(down=lambda: down)
    assert (found.state, found.admits()) == ("open", False)
    down = False
    assert (found.state, found.admits()) == ("closed", True)


def test_breaker_keeps_its_trial_while_server_is_known_down(clock: Clock) -> None:
    down = True
    found = Breaker(down=lambda: down)
    found.failed()
    clock.now += 10
    assert not found.admits()
    down = False
    assert found.admits()
