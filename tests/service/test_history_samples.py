"""Encoding of rounds of samples, and invalid rounds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.history.samples import Sample, decode, encode, take
from tests.service.history_kit import INSTANCE


@given(
    st.integers(0, 2**31 - 1),
    st.floats(0, 32_503_680_000),
    st.lists(st.builds(Sample, st.text(), st.text(), st.none() | st.floats(), st.text(max_size=200)), max_size=5),
)
def test_round_survives_encoding(sequence: int, at: float, samples: list[Sample]) -> None:
    sent = take(INSTANCE, sequence, at, samples)
    assert decode(encode(sent)) == sent


@given(st.binary(max_size=60) | st.text(max_size=60) | st.recursive(st.none() | st.integers(), st.lists).map(str))
def test_decoding_rejects_anything_but_a_round(text: str | bytes) -> None:
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
def test_decoding_rejects_numbers_that_cannot_be_stored(changes: dict[str, object]) -> None:
    whole = {"instance": INSTANCE, "sequence": 1, "at": 0, "readings": [{"component": "db", "status": "pass"}]}
    assert decode(json.dumps(whole)).samples == (Sample("db", "pass"),)
    with pytest.raises(ValueError, match=r"."):
        decode(json.dumps(whole | changes))


@pytest.mark.parametrize("latency", [-1.0, float("nan"), float("inf"), 1e300, 10**400])
def test_round_drops_invalid_latency(latency: float) -> None:
    assert take(INSTANCE, 0, 0, [Sample("db", "pass", latency)]).samples[0].latency_ms is None
