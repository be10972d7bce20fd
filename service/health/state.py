"""What is held true of a component, from the results of its probes: pure, so that a clock is only a number.

The states are those of draft-inadarei-api-health-check-06 (pass, warn, fail) and unknown. One result against what is
held true is a slip; several in a row are a change. So a flapping component has a steady state and a quiet log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

PASS, WARN, FAIL, UNKNOWN = "pass", "warn", "fail", "unknown"
_RANK = {PASS: 0, WARN: 1, FAIL: 2}


@dataclass(frozen=True)
class Result:
    """What one probe found.

    Args:
        status: pass, warn or fail.
        at: when it ended, in seconds since the epoch: for people.
        clock: when it ended, on the monotonic clock, in seconds: for ages, which a step of the clock must not change.
        latency_ms: how long it took.
        code: a word for what is wrong that programs may rely on; empty when nothing is.
        detail: the error's own text, which may have addresses; for those with the token only.
    """

    status: str
    at: float
    clock: float
    latency_ms: float
    code: str = ""
    detail: str = ""


@dataclass(frozen=True)
class State:
    """What is held true of a component.

    Args:
        status: pass, warn, fail; unknown before the first result.
        since: since when, in seconds since the epoch.
        last: the last result, which may differ from the status for a while.
        last_ok: when a probe passed last, in seconds since the epoch.
        failures: probes in a row that failed until now.
        against: results in a row that were all better, or all worse, than the status.
    """

    status: str
    since: float
    last: Result | None = None
    last_ok: float | None = None
    failures: int = 0
    against: int = 0


def advance(state: State, result: Result, *, rise: int, fall: int, starting: bool = False) -> State:
    """Return the current state after one more result.

    The first result of all is believed at once; a failure while the component may still be starting is not.

    Args:
        state: the state before.
        result: the new one.
        rise: results in a row that must be better until the state gets better.
        fall: results in a row that must be worse until it gets worse.
        starting: whether a component that has not been usable yet may still be starting: it stays unknown.
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
        since = state.since if failed and state.last else result.at  # it never worked: the failures before count
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
    """Return the state's status, or unknown when its last result is older than it may be.

    Args:
        state: what was held true.
        clock: now, on the monotonic clock.
        stale_after: seconds after which a result proves nothing any more.
    """
    if state.last is None or clock - state.last.clock > stale_after:
        return FAIL if state.status == FAIL else UNKNOWN
    return state.status


def overall(statuses: Iterable[tuple[str, bool]]) -> str:
    """Return pass, warn or fail of all components together.

    Args:
        statuses: of each component its status, and whether the service is of no use without it. One that nobody
            has looked at does not count as healthy.
    """
    worst = PASS
    for status, critical in statuses:
        if status in {FAIL, UNKNOWN} and critical:
            return FAIL
        if status != PASS:
            worst = WARN
    return worst


def _side(result: Result, status: str) -> int:
    """Return 1 when a result is worse than the status, -1 when it is better, 0 when it says the same."""
    difference = _RANK[result.status] - _RANK[status]
    return (difference > 0) - (difference < 0)
