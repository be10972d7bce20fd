"""The rule for incidents of one component. It is pure: samples give the same incidents in any order of arrival.

For samples in the order of their times, and `needed` samples in a row:

- an incident opens after `needed` failing samples in a row (warn or fail); it starts with the first of them;
- it closes after `needed` passing samples in a row; it ends with the first of them;
- more than GAP seconds without a sample interrupt both counts: a gap neither opens nor closes an incident;
- samples with an unknown result are ignored.

The samples of several replicas form one sequence, so that an incident reflects what the replicas observe together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from service.health.state import FAIL, PASS, WARN

TROUBLE = frozenset({WARN, FAIL})
"""Statuses that open an incident and keep it open; `Incident.worst` distinguishes degraded from down."""
GAP = 120.0
"""Seconds without a sample after which earlier samples prove nothing."""
OPENS_WITHIN = 30.0
"""Seconds of trouble that make an incident."""
FEWEST = 2


@dataclass(frozen=True)
class Point:
    """The part of a sample that matters for incidents: time in seconds since the epoch, status and code."""

    at: float
    status: str
    code: str = ""

    @property
    def troubled(self) -> bool:
        """Whether the sample indicates an incident."""
        return self.status in TROUBLE


@dataclass(frozen=True)
class Incident:
    """A time in which a component did not pass.

    Args:
        started_at: time of the first failing sample, in seconds since the epoch.
        ended_at: time of the first passing sample; None while the incident is open.
        worst: warn or fail.
        code: of the first failing sample.
    """

    started_at: float
    ended_at: float | None
    worst: str
    code: str


@dataclass(frozen=True)
class Progress:
    """The state of the detection after a number of samples.

    Args:
        incident: the open one.
        run: samples in a row that contradict the current state, without a gap.
        last_at: time of the last sample.
    """

    incident: Incident | None = None
    run: tuple[Point, ...] = field(default=())
    last_at: float = float("-inf")


def samples_needed(interval: float) -> int:
    """Return how many samples in a row open or close an incident, with one sample every `interval` seconds."""
    return max(FEWEST, round(OPENS_WITHIN / interval))


def detect(points: Iterable[Point], needed: int, progress: Progress | None = None) -> tuple[list[Incident], Progress]:
    """Return the incidents that ended, and the state of the detection after these samples.

    Args:
        points: samples with known results, by time.
        needed: samples in a row that open or close an incident.
        progress: the state before these samples.
    """
    progress = progress or Progress()
    ended = []
    for point in points:
        progress, incident = _advance(progress, point, needed)
        if incident:
            ended.append(incident)
    return ended, progress


def _advance(progress: Progress, point: Point, needed: int) -> tuple[Progress, Incident | None]:
    incident = progress.incident
    if incident and point.troubled:
        incident = replace(incident, worst=worst(incident.worst, point.status))
    contradicts = point.troubled != (incident is not None)
    before = progress.run if point.at - progress.last_at <= GAP else ()
    run = (*before, point) if contradicts else ()
    if len(run) < needed:
        return Progress(incident, run, point.at), None
    first = run[0]
    if incident:
        return Progress(None, (), point.at), replace(incident, ended_at=first.at)
    opened = Incident(first.at, None, worst(*(each.status for each in run)), first.code)
    return Progress(opened, (), point.at), None


def worst(*statuses: str) -> str:
    """Return the worst of the statuses."""
    return max(statuses, key=(PASS, WARN, FAIL).index)


def certain_after(points: Sequence[Point], needed: int, *, passing_only: bool) -> int | None:
    """Return the number of samples after which the state is certain, whatever came before; None if it never is.

    The state is certain after `needed` samples in a row that all pass (no incident is open) or all fail (one is).

    Args:
        points: by time.
        needed: samples in a row that open or close an incident.
        passing_only: whether only passing samples count.
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


def pair(stored: Sequence[Incident], detected: Sequence[Incident]) -> list[tuple[int | None, Incident | None]]:
    """Match stored incidents with detected ones, in order of time.

    A late sample may move the start of an incident. It remains the same incident, with its id and its note.

    Args:
        stored: by time.
        detected: by time; none overlaps another.

    Returns:
        Pairs of an index in `stored` (None: the incident is new) and an incident (None: it no longer exists).
    """
    free = list(range(len(stored)))
    pairs: list[tuple[int | None, Incident | None]] = []
    for incident in detected:
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
