"""Incidents of one component, from its samples alone: pure, so that any order of arrival gives the same ones.

The rule, for samples in the order of their times and `needed` samples in a row:

- an incident opens when `needed` samples in a row are in trouble (warn or fail); it began with the first of them;
- it closes when `needed` samples in a row are well (pass); it ended with the first of them;
- a time of more than GAP seconds without a sample interrupts both: it neither opens an incident nor closes one;
- samples whose result is unknown are no samples.

Samples of several replicas are one sequence: an incident is what they find in turn, not what one of them finds alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from service.health.state import FAIL, PASS, WARN

TROUBLE = frozenset({WARN, FAIL})
"""What opens an incident, and keeps it from closing; `Incident.worst` tells degraded from down."""
GAP = 120.0
"""Seconds without a sample after which nothing may be concluded from the samples before."""
OPENS_WITHIN = 30.0
"""Seconds of trouble that make an incident."""
FEWEST = 2


@dataclass(frozen=True)
class Point:
    """What an incident needs of a sample: its time in seconds since the epoch, its status and its code."""

    at: float
    status: str
    code: str = ""

    @property
    def troubled(self) -> bool:
        """Whether it speaks for an incident."""
        return self.status in TROUBLE


@dataclass(frozen=True)
class Incident:
    """A time in which a component did not pass.

    Args:
        started_at: time of the first sample in trouble, in seconds since the epoch.
        ended_at: time of the first sample that passed again; None while it is open.
        worst: warn or fail.
        code: of the first sample in trouble.
    """

    started_at: float
    ended_at: float | None
    worst: str
    code: str


@dataclass(frozen=True)
class Fold:
    """Where the reading of a sequence of samples is.

    Args:
        incident: the open one.
        run: samples in a row that speak against the present state, without a gap.
        last_at: time of the last sample.
    """

    incident: Incident | None = None
    run: tuple[Point, ...] = field(default=())
    last_at: float = float("-inf")


def samples_needed(interval: float) -> int:
    """Return how many samples in a row open or close an incident, when one is taken every `interval` seconds."""
    return max(FEWEST, round(OPENS_WITHIN / interval))


def fold(points: Iterable[Point], needed: int, state: Fold | None = None) -> tuple[list[Incident], Fold]:
    """Read samples in order; return the incidents that ended, and where the reading is then.

    Args:
        points: with known results, by time.
        needed: samples in a row that open or close an incident.
        state: where the reading of the samples before has ended.
    """
    state = state or Fold()
    ended = []
    for point in points:
        state, incident = _advance(state, point, needed)
        if incident:
            ended.append(incident)
    return ended, state


def _advance(state: Fold, point: Point, needed: int) -> tuple[Fold, Incident | None]:
    incident = state.incident
    if incident and point.troubled:
        incident = replace(incident, worst=worst(incident.worst, point.status))
    against = point.troubled != (incident is not None)
    before = state.run if point.at - state.last_at <= GAP else ()
    run = (*before, point) if against else ()
    if len(run) < needed:
        return Fold(incident, run, point.at), None
    first = run[0]
    if incident:
        return Fold(None, (), point.at), replace(incident, ended_at=first.at)
    opened = Incident(first.at, None, worst(*(each.status for each in run)), first.code)
    return Fold(opened, (), point.at), None


def worst(*statuses: str) -> str:
    """Return the worst of some statuses."""
    return max(statuses, key=(PASS, WARN, FAIL).index)


def settled(points: Sequence[Point], needed: int, *, passing_only: bool) -> int | None:
    """Return the number of samples after which the state is certain, whatever came before; None: nowhere.

    It is after `needed` samples in a row that are all well (no incident is open), or all in trouble (one is).

    Args:
        points: by time.
        needed: samples in a row that open or close an incident.
        passing_only: whether only samples that are well will do.
    """
    run = 0
    for number in range(len(points) - 1, -1, -1):
        if run and not _in_a_row(points[number], points[number + 1]):
            run = 0
        run += 1
        if run == needed and not (passing_only and points[number].troubled):
            return number + needed
    return None


def _in_a_row(first: Point, second: Point) -> bool:
    return first.troubled == second.troubled and second.at - first.at <= GAP


def pair(stored: Sequence[Incident], found: Sequence[Incident]) -> list[tuple[int | None, Incident | None]]:
    """Return which stored incident becomes which of those found: by number in `stored`, and both in order of time.

    A late sample may move the start of an incident. It is the same incident then, and keeps its id and its note.

    Args:
        stored: what the database has, by time.
        found: what it should have, by time; none overlaps another.

    Returns:
        Pairs of a number in `stored` (None: it is new) and an incident (None: it is no incident any more).
    """
    free = list(range(len(stored)))
    pairs: list[tuple[int | None, Incident | None]] = []
    for incident in found:
        match = next((number for number in free if _overlap(stored[number], incident)), None)
        if match is not None:
            pairs += [(number, None) for number in free if number < match]
            free = [number for number in free if number > match]
        pairs.append((match, incident))
    return [*pairs, *((number, None) for number in free)]


def _overlap(one: Incident, other: Incident) -> bool:
    forever = float("inf")
    one_end = forever if one.ended_at is None else one.ended_at
    other_end = forever if other.ended_at is None else other.ended_at
    return one.started_at <= other_end and other.started_at <= one_end
