"""Rounds of samples, and what is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.history.samples import Reading, decode, encode, take
from tests.service.history_kit import INSTANCE


@given(
    st.integers(0, 2**31 - 1),
    st.floats(0, 32_503_680_000),
    st.lists(st.builds(Reading, st.text(), st.text(), st.none() | st.floats(), st.text(max_size=200)), max_size=5),
)
def test_a_round_arrives_as_it_was_sent(sequence: int, at: float, readings: list[Reading]) -> None:
    sent = take(INSTANCE, sequence, at, readings)
    assert decode(encode(sent)) == sent


@given(st.binary(max_size=60) | st.text(max_size=60) | st.recursive(st.none() | st.integers(), st.lists).map(str))
def test_anything_else_is_no_round(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": 1.5},
        {"sequence": True},
        {"sequence": 2**31},
        {"at": -1},
        {"at": "0"},
        {"instance": 7},
        {"readings": 0},
    ],
)
def test_a_round_with_numbers_that_cannot_be_stored_is_none(changes: dict[str, object]) -> None:
    whole = {"instance": INSTANCE, "sequence": 1, "at": 0, "readings": [{"component": "db", "status": "pass"}]}
    assert decode(json.dumps(whole)).readings == (Reading("db", "pass"),)
    with pytest.raises(ValueError, match=r"."):
        decode(json.dumps(whole | changes))


@pytest.mark.parametrize("latency", [-1.0, float("nan"), float("inf"), 1e300, 10**400])
def test_a_latency_that_is_none_is_left_out(latency: float) -> None:
    assert take(INSTANCE, 0, 0, [Reading("db", "pass", latency)]).readings[0].latency_ms is None
