"""Concurrent callers of one answer: one makes it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import redis

from service.answer import Answer
from service.cache import AnswerDelayed, Cache
from service.settings import Address
from tests.checkout import eventually
from tests.service.cache.kit import SLACK, Maker, cache, call_of, expire
from tests.service.pool_kit import at_once


def test_hundred_callers_of_expired_key_cost_one_make(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    kept.get_or_make("k", make)
    expire(store)
    answers: list[Answer] = []

    def slow() -> dict[str, Any]:
        eventually(lambda: kept.counts.get("joined", 0) == 99, "all others wait", 20)
        return make()

    assert at_once(100, lambda: answers.append(kept.get_or_make("k", slow))) == []
    assert {call_of(answer) for answer in answers} == {2}
    assert make.calls == 2
    assert kept.counts["joined"] == 99


def test_waiting_callers_share_exception_which_is_not_cached(kept: Cache) -> None:
    error = ValueError("broken")

    def broken() -> dict[str, Any]:
        eventually(lambda: kept.counts.get("joined", 0) == 19, "all others wait", 20)
        raise error

    raised = at_once(20, lambda: kept.get_or_make("k", broken))
    assert raised == [error] * 20
    assert call_of(kept.get_or_make("k", Maker())) == 1


def test_waiting_caller_survives_interrupted_maker(kept: Cache) -> None:
    def ended() -> dict[str, Any]:
        eventually(lambda: kept.counts.get("joined", 0) == 1, "the other waits", 20)
        raise SystemExit

    ends: list[BaseException] = []

    def call() -> None:
        try:
            kept.get_or_make("k", ended)
        except BaseException as error:
            ends.append(error)

    at_once(2, call)
    assert sorted(type(error).__name__ for error in ends) == ["AnswerDelayed", "SystemExit"]


@pytest.mark.parametrize("known", [False, True], ids=["nothing known", "an old one known"])
def test_waiting_for_another_caller_is_bounded(at: Address, store: redis.Redis, known: bool) -> None:
    with cache(at, wait=0.2) as found:
        if known:
            found.get_or_make("k", Maker())
            expire(store)
        release, outcome = threading.Event(), []

        def slow() -> dict[str, Any]:
            release.wait(20)
            return {"call": 7}

        leader = threading.Thread(target=lambda: outcome.append(found.get_or_make("k", slow)))
        leader.start()
        eventually(lambda: found.counts["miss"] == 1 + known, "the first makes it", 20)
        began = time.monotonic()
        if known:
            assert found.get_or_make("k", slow).stale
        else:
            with pytest.raises(AnswerDelayed):
                found.get_or_make("k", slow)
        assert 0.2 <= time.monotonic() - began < 0.2 + SLACK
        release.set()
        leader.join(20)
        assert call_of(outcome[0]) == 7
        assert found.counts["delayed"] == 1
