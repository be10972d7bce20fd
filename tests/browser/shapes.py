"""Answers of the API for histories of every shape, made by the code of the service from stored statistics."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from service.health.state import iso
from service.history import queries, statistics
from service.history.statistics import BOUNDS, CLASSES
from service.snapshot import display
from tests.service.history_kit import classify

Row = tuple[int, int, int, int, int, float | None, str]
"""Number of the bucket; passed, warned, failed; minutes with data; the largest latency; the histogram."""
Shape = Callable[[statistics.Window, str], list[Row]]
COMPONENTS = ("db", "cache", "web")
HOSTILE = "<img src=x onerror=alert(1)>"
NOTE = 'Restarted by hand.\n<script>alert(1)</script> & "quotes"'
USUAL = {"db": 2.4, "cache": 0.8, "web": 1.6}


def row(number: int, *, passed: int = 0, warned: int = 0, failed: int = 0, latency: float = 1.0) -> Row:
    """Return the figures of a bucket whose latencies are about the same."""
    counts = [0] * CLASSES
    known = passed + warned
    for share, times in ((0.9, 1.0), (0.1, 2.2)):
        counts[classify(latency * times)] += math.ceil(known * share)
    largest = min(latency * 2.5, BOUNDS[-1]) if known else None
    return (number, passed, warned, failed, known + failed, largest, ",".join(map(str, counts)))


def empty(_window: statistics.Window, _component: str) -> list[Row]:
    return []


def one_sample(window: statistics.Window, _component: str) -> list[Row]:
    return [row(window.count - 1, passed=1)]


def full(window: statistics.Window, component: str) -> list[Row]:
    """A quarter of a year as it goes: slow days, a bad day, a night without power, and a deploy that went wrong."""
    chance = random.Random(f"{component}{window.name}")
    samples = window.bucket // 10
    rows = []
    for number in range(window.count):
        share = number / window.count
        if 0.31 < share < 0.37:
            continue
        failed = warned = 0
        if component == "cache" and 0.62 < share < 0.645:
            failed = round(samples * 0.6)
        elif component == "db" and 0.8 < share < 0.812:
            failed = 4
        elif chance.random() < 0.02:
            warned = 3
        wave = 1 + 0.35 * math.sin(share * 20) + chance.random() * 0.3
        slow = 4.0 if component == "web" and 0.45 < share < 0.5 else 1.0
        passed = samples - failed - warned
        rows.append(
            row(number, passed=passed, warned=warned, failed=failed, latency=USUAL.get(component, 1.0) * wave * slow)
        )
    return rows


def history(shape: Shape, component: str, window: str, now: float) -> dict[str, Any]:
    """Return the answer of /api/history."""
    chosen = statistics.parse_window(window)

    def query(_sql: str, _parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        return list(shape(chosen, component))

    return {"stale": False, **queries.history(query, component, chosen, now)}


def status(now: float, *names: str, **changes: Any) -> dict[str, Any]:
    """Return the answer of /api/status: all is well, but for `changes` of the first component."""
    components = [
        {
            "name": name,
            "critical": name == "db",
            "componentId": name,
            "componentType": "datastore",
            "status": "pass",
            "since": iso(now - 86400 * 12),
            "consecutiveFailures": 0,
            "time": iso(now - 2),
            "age": 2.0,
            "observedValue": USUAL.get(name, 1.0),
            "observedUnit": "ms",
        }
        for name in names or COMPONENTS
    ]
    components[0] |= changes
    answer = {
        "status": "pass",
        "phase": "ready",
        "version": "0.2.0",
        "environment": "production",
        "stack": "shop",
        "engine": "ecs",
        "components": components,
        "history": {"known": True, "stale": False},
        "uptime": {},
        "incidents": [],
        "time": iso(now),
    }
    return answer | {"display": display(answer)}


def incident(
    number: int, component: str, began: float, lasted: float | None, now: float, **more: Any
) -> dict[str, Any]:
    """Return one of the incidents of /api/incidents; `lasted` None: it is open."""
    return {
        "id": number,
        "component": component,
        "state": "fail",
        "code": "timeout",
        "started_at": iso(began),
        "ended_at": None if lasted is None else iso(began + lasted),
        "duration_s": now - began if lasted is None else lasted,
        "note": "",
        "updated_at": iso(now),
        **more,
    }


def incidents(*found: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of /api/incidents."""
    return {"stale": False, "incidents": list(found), "next": None}
