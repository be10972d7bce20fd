"""Reconcile the incidents in the database with its samples.

The detection restarts where the state is certain whatever came before (`incidents.certain_after`). That is usually a
few samples before the first new one, and at most the start of an outage, when a sample from its middle arrives late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.history.incidents import Incident, Point, Progress, certain_after, detect, pair

FIRST_SAMPLES, FACTOR = 50, 20
"""Earlier samples to read at first, and the factor by which that grows until the state is certain."""

_POINTS = "SELECT CAST(extract(epoch FROM at) AS double precision), status, code FROM history_sample"
_KNOWN = "component = :component AND status <> 'unknown'"
SINCE = f"{_POINTS} WHERE {_KNOWN} AND at >= to_timestamp(:at) ORDER BY at, instance, sequence"
BEFORE = (
    f"{_POINTS} WHERE {_KNOWN} AND at < to_timestamp(:at)"
    " ORDER BY at DESC, instance DESC, sequence DESC LIMIT CAST(:most AS integer)"
)
_INCIDENTS = """
SELECT
    id,
    CAST(extract(epoch FROM started_at) AS double precision),
    CAST(extract(epoch FROM ended_at) AS double precision),
    worst,
    code
FROM history_incident
"""
OPEN_AT = f"""{_INCIDENTS}
WHERE component = :component AND started_at <= to_timestamp(:at) AND (ended_at IS NULL OR ended_at > to_timestamp(:at))
ORDER BY started_at DESC LIMIT 1
"""
STORED = f"""{_INCIDENTS}
WHERE component = :component AND started_at >= to_timestamp(:at) ORDER BY started_at
"""


@dataclass(frozen=True)
class _Start:
    """Where the detection restarts: its state, the samples that follow, and the time of the earliest change."""

    progress: Progress
    points: Sequence[Point]
    at: float


def reconcile(connection: Any, component: str, new: Sequence[float], needed: int) -> None:
    """Reconcile the incidents of a component after samples were stored.

    Args:
        connection: in a transaction that holds the lock of `store`.
        component: its name.
        new: times of the stored samples with a known result.
        needed: samples in a row that open or close an incident.
    """
    since = [Point(*row) for row in connection.run(SINCE, component=component, at=min(new))]
    in_order = len(since) == len(new)
    start = _start(connection, component, since, needed, in_order=in_order)
    ended, progress = detect(start.points, needed, start.progress)
    detected = [*ended, progress.incident] if progress.incident else ended
    if not detected and in_order:
        return
    stored = connection.run(STORED, component=component, at=start.at)
    _replace(connection, component, stored, detected)


def _start(connection: Any, component: str, since: list[Point], needed: int, *, in_order: bool) -> _Start:
    limit = FIRST_SAMPLES
    while True:
        rows = connection.run(BEFORE, component=component, at=since[0].at, most=limit)
        before = [Point(*row) for row in reversed(rows)]
        # With an incident open before a late sample, its worst state may come from a sample after the late one.
        number = certain_after(before, needed, passing_only=not in_order)
        if number is not None:
            last = before[number - 1]
            incident = _incident_at(connection, component, last.at) if last.troubled else None
            if last.troubled and incident is None:  # those samples arrived while another rule applied
                in_order = False
                continue
            rest = [*before[number:], *since]
            return _Start(Progress(incident, (), last.at), rest, incident.started_at if incident else rest[0].at)
        if len(rows) < limit:
            return _from_first_sample(connection, component, [*before, *since])
        limit *= FACTOR


def _from_first_sample(connection: Any, component: str, points: list[Point]) -> _Start:
    """Restart at the oldest sample. Older ones are removed, so only the stored incidents tell the state before it."""
    first = points[0].at
    incident = _incident_at(connection, component, first)
    if incident is None or incident.started_at >= first:
        return _Start(Progress(), points, first)
    return _Start(Progress(incident, (), first), points, incident.started_at)


def _incident_at(connection: Any, component: str, at: float) -> Incident | None:
    rows = connection.run(OPEN_AT, component=component, at=at)
    return Incident(rows[0][1], None, rows[0][3], rows[0][4]) if rows else None


def _replace(connection: Any, component: str, stored: Sequence[Sequence[Any]], detected: Sequence[Incident]) -> None:
    pairs = pair([Incident(*row[1:]) for row in stored], detected)
    # Deletions come first: the database refuses two open incidents, even for a moment.
    for number, incident in sorted(pairs, key=lambda each: each[1] is not None):
        if incident is None and number is not None:
            connection.run("DELETE FROM history_incident WHERE id = :id", id=stored[number][0])
        elif incident is not None and number is None:
            _write(connection, incident, component=component)
        elif incident is not None and number is not None and Incident(*stored[number][1:]) != incident:
            _write(connection, incident, identity=stored[number][0])


def _write(connection: Any, incident: Incident, *, component: str = "", identity: int | None = None) -> None:
    fields = {"started": incident.started_at, "ended": incident.ended_at, "worst": incident.worst}
    if identity is None:
        connection.run(
            "INSERT INTO history_incident (component, started_at, ended_at, worst, code)"
            " VALUES (:component, to_timestamp(:started), to_timestamp(:ended), :worst, :code)",
            component=component,
            code=incident.code,
            **fields,
        )
        return
    connection.run(
        "UPDATE history_incident SET started_at = to_timestamp(:started), ended_at = to_timestamp(:ended),"
        " worst = :worst, code = :code, updated_at = now() WHERE id = :id",
        id=identity,
        code=incident.code,
        **fields,
    )
