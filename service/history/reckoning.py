"""Incidents in the database, brought in line with the samples that it has.

What is folded again begins where the state is certain whatever came before (`incidents.settled`): a few samples before
the first new one in the common case, and up to the start of an outage when a sample of its middle comes late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.history.incidents import Fold, Incident, Point, fold, pair, settled

FIRST_LOOK, WIDER = 50, 20
"""Samples to read back at first, and by which factor more each time that is not enough."""

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
    """Where to begin to fold: the state there, the samples from there, and the time of the earliest change."""

    state: Fold
    points: Sequence[Point]
    at: float


def refresh(connection: Any, component: str, new: Sequence[float], needed: int) -> None:
    """Bring the incidents of a component in line after samples were stored.

    Args:
        connection: in a transaction that holds the lock of `store`.
        component: whose samples.
        new: times of those samples whose result is known.
        needed: samples in a row that open or close an incident.
    """
    since = [Point(*row) for row in connection.run(SINCE, component=component, at=min(new))]
    in_order = len(since) == len(new)
    start = _start(connection, component, since, needed, in_order=in_order)
    ended, state = fold(start.points, needed, start.state)
    found = [*ended, state.incident] if state.incident else ended
    if not found and in_order:
        return
    stored = connection.run(STORED, component=component, at=start.at)
    _replace(connection, component, stored, found)


def _start(connection: Any, component: str, since: list[Point], needed: int, *, in_order: bool) -> _Start:
    most = FIRST_LOOK
    while True:
        rows = connection.run(BEFORE, component=component, at=since[0].at, most=most)
        before = [Point(*row) for row in reversed(rows)]
        # In trouble before a late sample, the open incident's worst state may be that of a sample after it.
        number = settled(before, needed, passing_only=not in_order)
        if number is not None:
            last = before[number - 1]
            incident = _incident_at(connection, component, last.at) if last.troubled else None
            if last.troubled and incident is None:  # the rule was another one when those samples came
                in_order = False
                continue
            rest = [*before[number:], *since]
            return _Start(Fold(incident, (), last.at), rest, incident.started_at if incident else rest[0].at)
        if len(rows) < most:
            return _from_the_first(connection, component, [*before, *since])
        most *= WIDER


def _from_the_first(connection: Any, component: str, points: list[Point]) -> _Start:
    """Begin at the first sample there is: what it continues, only the incidents know, for older samples are removed."""
    first = points[0].at
    incident = _incident_at(connection, component, first)
    if incident is None or incident.started_at >= first:
        return _Start(Fold(), points, first)
    return _Start(Fold(incident, (), first), points, incident.started_at)


def _incident_at(connection: Any, component: str, at: float) -> Incident | None:
    rows = connection.run(OPEN_AT, component=component, at=at)
    return Incident(rows[0][1], None, rows[0][3], rows[0][4]) if rows else None


def _replace(connection: Any, component: str, stored: Sequence[Sequence[Any]], found: Sequence[Incident]) -> None:
    pairs = pair([Incident(*row[1:]) for row in stored], found)
    # Removals first: for a moment there would be two open incidents, which the database refuses.
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
