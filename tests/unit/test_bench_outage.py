"""What the measurement of outages makes of the answers it gets."""

from __future__ import annotations

from collections.abc import Iterator

from bench import service_outage
from bench.service_outage import Watcher
from tests.checkout import eventually

FOREVER = float("inf")


def watched(letters: str) -> Watcher:
    """Return a watcher that has heard these answers (p: it passes), one a second from 1 on."""
    found = Watcher(lambda: True)
    found._answers += [(float(number), letter == "p") for number, letter in enumerate(letters, 1)]
    return found


def test_an_outage_is_noticed_with_the_first_answer_after_it_that_does_not_pass() -> None:
    assert watched("fppf").failed_after(1.5) == 4.0
    assert watched("fppp").failed_after(1.5) == FOREVER


def test_only_answers_that_go_on_passing_are_a_recovery() -> None:
    assert watched("pppfpfppppp").steady_after(3.5) == 7.0
    assert watched("pppfpfpppp").steady_after(3.5) == FOREVER
    assert watched("ppppppp").steady_after(1.5) == 2.0


def test_what_came_before_the_return_is_no_recovery() -> None:
    assert watched("ppppp").steady_after(3.5) == FOREVER


def test_a_watcher_asks_until_it_is_stopped() -> None:
    answers: Iterator[bool] = iter([True, False, *[True] * 1000])
    found = Watcher(lambda: next(answers))
    found.start()
    eventually(lambda: found.steady_after(0.0) < FOREVER, "there are enough answers")
    found.stop()
    heard = len(found._answers)
    assert found.failed_after(0.0) < found.steady_after(0.0)
    assert heard >= service_outage.STEADY + 2
