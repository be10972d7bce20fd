"""Stub sources for tests of metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from service.health.state import Result, State
from service.metrics import Metrics, Sources
from service.settings import Address, Settings

LAST = Result("pass", 0.0, 0.0, 2.5)
NOWHERE = Address("127.0.0.1", 1, "", "", "")
ROUTES = ("/health", "/health/<name>", "/api/status")


def make_metrics() -> Metrics:
    return Metrics(version="1.2.3", commit="abc", routes=ROUTES)


def make_sources() -> Sources:
    return Sources(
        components=[
            SimpleNamespace(name="db", status="pass", age=1.5, state=State("pass", 0.0, LAST)),
            SimpleNamespace(name="cache", status="unknown", age=None, state=State("unknown", 0.0)),
        ],
        pool=SimpleNamespace(size=5, in_use=2, exhaustions=3),
        cache=SimpleNamespace(counts={"hit": 7, "local": 1}, errors={"timeout": 4}, breaker="open"),
        dispatcher=SimpleNamespace(queue=[1, 2, 3], threads=[1, 2], active_count=2),
        history=SimpleNamespace(waiting=6, dropped=8),
    )


def settings(**given: Any) -> Settings:
    return Settings("127.0.0.1", 0, NOWHERE, NOWHERE, **given)
