"""The current state as HTML."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.snapshot import snapshot

NOW = 1_800_000_000.0


def present(**states: str) -> dict[str, Any]:
    components = [
        {
            "name": name,
            "critical": name == "db",
            "status": status,
            "since": "2027-01-15T07:59:00.000Z",
            "observedValue": 1.25,
            "output": "pool_exhausted",
        }
        for name, status in states.items()
    ]
    return {
        "phase": "ready",
        "stack": "shop",
        "environment": "test",
        "engine": "",
        "version": "1.2.3",
        "components": components,
    }


def test_snapshot_shows_status_and_time() -> None:
    text = snapshot(present(db="pass", cache="fail"), NOW).decode()
    assert '<p class="quiet">shop · test · version 1.2.3</p>' in text
    assert '<h1 class="fail">' in text
    assert "</span>Cache disrupted</h1>" in text
    assert 'As of <time datetime="2027-01-15T08:00:00Z">15 Jan, 08:00:00 UTC</time>' in text
    assert text.count("<li ") == 2
    assert "</span>Operational</span>" in text
    assert "since <time" in text


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ({}, "Unknown: no components are configured"),
        ({"db": "pass", "cache": "pass"}, "All systems operational"),
        ({"cache": "warn", "db": "fail"}, "Database disrupted, Cache degraded"),
        ({"one": "unknown"}, "one unknown"),
        (dict.fromkeys("abcd", "fail"), "4 of 4 components are not operational"),
    ],
)
def test_snapshot_summary_names_worst_first(states: dict[str, str], sentence: str) -> None:
    assert f"</span>{sentence}</h1>" in snapshot(present(**states), NOW).decode()


@pytest.mark.parametrize("phase", ["starting", "migrating", "draining"])
def test_snapshot_is_degraded_while_service_is_not_ready(phase: str) -> None:
    text = snapshot(present(db="pass") | {"phase": phase}, NOW).decode()
    assert '<h1 class="warn">' in text
    assert f"</span>The service is {phase}</h1>" in text
    assert "lede" not in text
    text = snapshot(present(db="fail") | {"phase": phase}, NOW).decode()
    assert "</span>Database disrupted</h1>" in text
    assert f'<p class="lede">The service is {phase}.</p>' in text


@pytest.mark.parametrize(
    ("states", "consequence"),
    [
        ({"db": "pass"}, None),
        ({"db": "warn", "cache": "pass"}, None),
        ({"db": "pass", "cache": "fail"}, "The service continues to operate without it. Still operational: Database."),
        ({"db": "fail", "cache": "pass"}, "The service cannot operate without it. Still operational: Cache."),
        ({"db": "warn", "cache": "fail"}, "The service continues to operate without it."),
        ({"db": "unknown", "cache": "fail"}, "The service cannot operate without them."),
    ],
)
def test_snapshot_consequence_follows_from_unusable_components(states: dict[str, str], consequence: str | None) -> None:
    text = snapshot(present(**states), NOW).decode()
    found = re.findall('<p class="lede">(.*)</p>', text)
    assert found == ([consequence] if consequence else [])


def test_snapshot_row_has_reason_and_no_latency_of_failed_check() -> None:
    rows = snapshot(present(db="fail", cache="warn", web="pass"), NOW).decode().split("<li ")[1:]
    words = [re.findall("</span>([^<>]*)</span><span", row)[0] for row in rows]
    assert words == ["Disrupted: pool exhausted", "Degraded: pool exhausted", "Operational"]
    assert [" ms</span>" in row for row in rows] == [False, True, True]


def test_snapshot_escapes_names() -> None:
    text = snapshot(present(**{"<b onclick=x>": "fail"}) | {"stack": '"<i>'}, NOW).decode()
    assert "<b onclick" not in text
    assert "<i>" not in text
    assert "&lt;b onclick=x&gt; disrupted" in text
