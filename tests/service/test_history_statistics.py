"""Percentiles and windows, without a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.history.statistics import BOUNDS, CLASSES, WINDOWS, parse_window, percent, percentile
from tests.service.history_kit import classify


@given(st.lists(st.floats(0, 20_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_percentile_is_in_the_class_of_the_true_one(latencies: list[float], share: float) -> None:
    histogram = [0] * CLASSES
    for latency in latencies:
        histogram[classify(latency)] += 1
    largest = max(latencies)
    found = percentile(histogram, share, largest)
    assert found is not None
    number = max(0, -(-int(share * 1000) * len(latencies) // 1000) - 1)
    true = sorted(latencies)[number]
    low = max((bound for bound in BOUNDS if bound <= true), default=0.0)
    high = min([*(bound for bound in BOUNDS if bound > true), largest])
    assert low - 0.01 <= found <= max(high, low) + 0.01
    assert found <= round(largest, 2)


def test_percentile_of_nothing_is_none() -> None:
    assert percentile([0] * CLASSES, 0.5) is None
    assert percentile((), 0.5) is None


@given(st.text(max_size=20))
def test_parse_window_accepts_only_known_names(text: str) -> None:
    if text in WINDOWS:
        assert parse_window(text).name == text
    else:
        with pytest.raises(ValueError, match="must be one of 24h, 7d, 90d"):
            parse_window(text)


@given(st.sampled_from(sorted(WINDOWS)), st.floats(0, 4e9))
def test_last_bucket_contains_now(name: str, now: float) -> None:
    window = parse_window(name)
    start, end = window.bounds(now)
    assert end - window.bucket <= now < end
    assert end - start == window.bucket * window.count
    assert start % window.bucket == 0


@pytest.mark.parametrize(
    ("part", "whole", "share"),
    [
        (0, 0, None),
        (2, 3, 66),
        (99, 100, 99),
        (8639, 8640, 99.98),
        (777_599, 777_600, 99.999),
        (999_999, 1_000_000, 99.999),
        (8640, 8640, 100),
        (0, 8640, 0),
    ],
)
def test_percent_rounds_down_to_meaningful_decimals(part: int, whole: int, share: float | None) -> None:
    assert percent(part, whole) == share
