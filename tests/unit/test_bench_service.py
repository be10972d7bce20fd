"""What the measurement of the service makes of what the load generators say."""

from __future__ import annotations

from collections import Counter

import pytest

from bench import service, service_soak
from bench.service_candidates import OURS
from bench.service_load import Rate, parse_hey, parse_wrk, percentile
from bench.service_measures import median_ratio

WRK = """\
Running 4s test @ http://127.0.0.1:4000/health
Requests/sec:   1000.00
{"requests":%d,"seconds":4.0,"p50":1.5,"p99":9.25,"codes":1,"sockets":2,"timeouts":3}"""
HEY = "response-time,DNS+dialup,status-code,offset\n0.0010,0.0,200,0.1\n0.0030,0.0,200,0.2\n2.5000,0.0,503,0.3\n"


def test_wrk_gives_the_rate_the_percentiles_and_every_kind_of_failure() -> None:
    load = parse_wrk(WRK % 4000)
    assert (load.rate, load.p50, load.p99, load.failures) == (1000.0, 1.5, 9.25, 6)


def test_a_server_that_never_answered_wrk_has_no_percentiles() -> None:
    load = parse_wrk(WRK % 0)
    assert (load.p50, load.p99) == (float("inf"), float("inf"))


def test_hey_gives_codes_and_milliseconds() -> None:
    rate = parse_hey(HEY.splitlines(), 3)
    assert rate.codes == {200: 2, 503: 1}
    assert (rate.p50, rate.longest) == pytest.approx((3.0, 2500.0))


def test_what_was_never_answered_counts_in_the_percentiles() -> None:
    rate = parse_hey(HEY.splitlines(), 5)
    assert (rate.p50, rate.p99) == pytest.approx((2500.0, float("inf")))


@pytest.mark.parametrize(("share", "value"), [(0, 1), (50, 50), (99, 99), (100, 100)])
def test_a_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians() -> None:
    assert median_ratio([20.0, 10.0, 90.0], [10.0, 10.0, 30.0]) == 2.0


def test_there_is_no_ratio_to_nothing() -> None:
    assert median_ratio([1.0], [0.0]) is None
    assert median_ratio([1.0], [float("inf")]) is None


def test_a_table_has_ours_first_the_ratios_and_why_a_peer_did_not_run() -> None:
    figures = {OURS: {"req/s": [2000.0, 1000.0, 1000.0]}, "Peer": {"req/s": [1000.0, 500.0, 500.0]}}
    lines = service.table("Speed", figures, {"Other": "no node"}).splitlines()
    assert lines[-3:] == [f"| {OURS} | 1,000 |", "| Peer | 500 (0.50) |", "| Other | not run: no node |"]


def test_what_never_happened_is_called_so() -> None:
    figures = {OURS: {"s": [1.0]}, "Peer": {"s": [float("inf")]}}
    assert "| Peer | never |" in service.table("Recovery", figures, {})


def _seen(*, health: Counter[int], longest: float = 10.0) -> dict[str, Rate]:
    everything = Rate(Counter({200: 2900, 503: 100}), 3000, 1, 2, 10)
    return {"/health": Rate(health, 27_000, 1, 2, longest), "/health/all": everything}


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (_seen(health=Counter({200: 26_999, 500: 1})), "/health was not 200 1 times"),
        (_seen(health=Counter({200: 20_000})), "/health was not answered 7000 times"),
        (_seen(health=Counter({200: 27_000}), longest=4000), "/health took 4000 ms"),
    ],
)
def test_the_soak_tells_each_fault(seen: dict[str, Rate], words: str) -> None:
    assert any(words in fault for fault in service_soak.verdict(seen))


def test_the_soak_lets_a_health_all_of_503_pass_while_the_database_is_away() -> None:
    assert service_soak.verdict(_seen(health=Counter({200: 27_000}))) == []


def test_the_soak_tells_what_the_process_holds_more_of() -> None:
    before = {"threads": 15.0, "connections": 5.0, "RSS MB": 50.0}
    assert service_soak.growth(before, before | {"RSS MB": 54.0, "threads": 14.0}) == []
    assert service_soak.growth(before, before | {"connections": 6.0, "RSS MB": 56.0}) == [
        "connections grew from 5 to 6.",
        "RSS MB grew from 50 to 56.",
    ]
