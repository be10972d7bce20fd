"""The state of a component after each probe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.health.state import Result, State, advance, overall, status_now

LETTERS = {"p": "pass", "w": "warn", "f": "fail"}


def result(letter: str, at: float) -> Result:
    return Result(LETTERS[letter], at, at, 1.0)


def walk(letters: str, rise: int = 2, fall: int = 2) -> list[State]:
    """Return the states after each of the results, one a second from second 1 on."""
    state, found = State("unknown", 0.0), []
    for at, letter in enumerate(letters, 1):
        state = advance(state, result(letter, float(at)), rise=rise, fall=fall)
        found.append(state)
    return found


def statuses(letters: str, rise: int = 2, fall: int = 2) -> str:
    return "".join(state.status[0] for state in walk(letters, rise, fall))


@pytest.mark.parametrize(
    ("results", "held"),
    [
        ("p", "p"),
        ("f", "f"),
        ("w", "w"),
        ("pf", "pp"),
        ("pff", "ppf"),
        ("pfpf", "pppp"),
        ("pffp", "ppff"),
        ("pffpp", "ppffp"),
        ("pffpfpp", "ppffffp"),
        ("pww", "ppw"),
        ("pwf", "ppf"),
        ("pfw", "ppw"),
        ("wff", "wwf"),
        ("wpp", "wwp"),
        ("ffwp", "ffff"[:2] + "fp"),
        ("wpf", "www"),
        ("wfp", "www"),
    ],
)
def test_state_changes_after_two_results_on_the_same_side(results: str, held: str) -> None:
    assert statuses(results) == held


@pytest.mark.parametrize(
    ("rise", "fall", "held"), [(1, 1, "pffpp"), (1, 3, "ppppp"), (3, 1, "pffff"), (1, 2, "ppfpp"), (2, 1, "pfffp")]
)
def test_rise_and_fall_are_counted_separately(rise: int, fall: int, held: str) -> None:
    assert statuses("pffpp", rise, fall) == held


def test_since_and_last_ok_mark_change_and_last_pass() -> None:
    states = walk("ppffwwp")
    assert [state.since for state in states] == [1, 1, 1, 4, 4, 6, 6]
    assert [state.last_ok for state in states] == [1, 2, 2, 2, 5, 6, 7]


def test_last_ok_is_none_if_all_probes_failed() -> None:
    assert walk("ff")[-1].last_ok is None


def test_failures_count_until_a_probe_does_not_fail() -> None:
    assert [state.failures for state in walk("fffpfw")] == [1, 2, 3, 0, 1, 0]


def test_contradicting_results_count_until_one_agrees() -> None:
    assert [state.against for state in walk("pfpffpw")] == [0, 1, 0, 1, 0, 1, 0]


def test_last_result_is_kept_whatever_the_state() -> None:
    assert [state.last and state.last.status for state in walk("pf")] == ["pass", "fail"]


@pytest.mark.parametrize(
    ("letters", "clock", "now"),
    [("p", 11.0, "pass"), ("p", 11.1, "unknown"), ("w", 11.1, "unknown"), ("f", 999.0, "fail"), ("f", 2.0, "fail")],
)
def test_stale_pass_is_unknown_but_stale_failure_remains(letters: str, clock: float, now: str) -> None:
    assert status_now(walk(letters)[-1], clock, 10.0) == now


def test_status_is_unknown_before_first_result() -> None:
    assert status_now(State("unknown", 0.0), 5.0, 10.0) == "unknown"


@pytest.mark.parametrize(
    ("components", "together"),
    [
        ([], "pass"),
        ([("pass", True), ("pass", False)], "pass"),
        ([("pass", True), ("fail", False)], "warn"),
        ([("pass", True), ("unknown", False)], "warn"),
        ([("pass", True), ("warn", False)], "warn"),
        ([("warn", True), ("pass", False)], "warn"),
        ([("fail", True), ("pass", False)], "fail"),
        ([("unknown", True), ("pass", False)], "fail"),
        ([("fail", False), ("fail", True)], "fail"),
    ],
)
def test_overall_status_weighs_critical_components(components: list[tuple[str, bool]], together: str) -> None:
    assert overall(components) == together


@given(st.text("pwf", min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_state_changes_only_after_enough_results(letters: str, rise: int, fall: int) -> None:
    states = walk(letters, rise, fall)
    changes = [at for at in range(1, len(states)) if states[at].status != states[at - 1].status]
    for before, after in zip([0, *changes], changes, strict=False):
        assert after - before >= min(rise, fall)
    assert all(0 <= state.against < max(rise, fall) for state in states)
    assert all(state.status in LETTERS.values() for state in states)


@given(st.text("pwf", max_size=30), st.sampled_from("pwf"))
def test_repeated_results_win_in_the_end(letters: str, last: str) -> None:
    assert statuses(letters + last * 4, 2, 2).endswith(last)
