"""The current state of a component, computed from the results of its probes. Pure: a clock is only a number.

The states are those of draft-inadarei-api-health-check-06 (pass, warn, fail) and unknown. A single result that
contradicts the current state changes nothing; several in a row change it. A flapping component therefore has a steady
state and a quiet log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

PASS, WARN, FAIL, UNKNOWN = "pass", "warn", "fail", "unknown"
_RANK = {PASS: 0, WARN: 1, FAIL: 2}


@dataclass(frozen=True)
class Result:
    """The result of one probe.

    Args:
        status: pass, warn or fail.
        at: its end in seconds since the epoch, for people.
        clock: its end in seconds on the monotonic clock, for ages: a clock correction must not change them.
        latency_ms: its duration.
        code: the reason, for programs; empty when the component passes.
        detail: the text of the error, for holders of the token only, because it may contain addresses.
    """

    status: str
    at: float
    clock: float
    latency_ms: float
    code: str = ""
    detail: str = ""


@dataclass(frozen=True)
class State:
    """The current state of a component.

    Args:
        status: pass, warn, fail; unknown before the first result.
        since: its start in seconds since the epoch.
        last: the last result, which may differ from the status for a while.
        last_ok: time of the last probe that passed, in seconds since the epoch.
        failures: number of failed probes in a row.
        against: number of results in a row that were all better, or all worse, than the status.
    """

    status: str
    since: float
    last: Result | None = None
    last_ok: float | None = None
    failures: int = 0
    against: int = 0


def advance(state: State, result: Result, *, rise: int, fall: int, starting: bool = False) -> State:
    """Return the state after one more result.

    The very first result counts at once, except for a failure while the component may still be starting.

    Args:
        state: the previous state.
        result: the new result.
        rise: number of better results in a row that improve the state.
        fall: number of worse results in a row that worsen it.
        starting: whether a component that has never been usable may still be starting: it stays unknown.
    """
    failed = result.status == FAIL
    known = replace(
        state,
        last=result,
        last_ok=state.last_ok if failed else result.at,
        failures=state.failures + 1 if failed else 0,
    )
    if state.status == UNKNOWN:
        if failed and starting:
            return known
        since = state.since if failed and state.last else result.at  # it never worked: earlier failures count
        return replace(known, status=result.status, since=since, against=0)
    side = _side(result, state.status)
    if side == 0:
        return replace(known, against=0)
    same_side = state.last is not None and _side(state.last, state.status) == side
    against = state.against + 1 if same_side else 1
    if against < (fall if side > 0 else rise):
        return replace(known, against=against)
    return replace(known, status=result.status, since=result.at, against=0)


def status_now(state: State, clock: float, stale_after: float) -> str:
    """Return the status of the state, or unknown if its last result is too old.

    Args:
        state: of the component.
        clock: now, on the monotonic clock.
        stale_after: seconds after which a result proves nothing.
    """
    if state.last is None or clock - state.last.clock > stale_after:
        return FAIL if state.status == FAIL else UNKNOWN
    return state.status


def overall(statuses: Iterable[tuple[str, bool]]) -> str:
    """Return pass, warn or fail for all components together.

    Args:
        statuses: status of each component, and whether the service needs it. An unknown component is not healthy.
    """
    worst = PASS
    for status, critical in statuses:
        if status in {FAIL, UNKNOWN} and critical:
            return FAIL
        if status != PASS:
            worst = WARN
    return worst


def iso(seconds: float) -> str:
    """Return a time in seconds since the epoch as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _side(result: Result, status: str) -> int:
    """Return 1 if a result is worse than the status, -1 if it is better, 0 if it is the same."""
    difference = _RANK[result.status] - _RANK[status]
    return (difference > 0) - (difference < 0)
