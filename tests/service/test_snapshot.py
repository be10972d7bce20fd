"""The state now as HTML."""

from __future__ import annotations

from typing import Any

import pytest

from service.snapshot import snapshot

NOW = 1_800_000_000.0


def present(**states: str) -> dict[str, Any]:
    components = [
        {"name": name, "status": status, "since": "2027-01-15T07:59:00.000Z", "observedValue": 1.25}
        for name, status in states.items()
    ]
    return {"stack": "shop", "environment": "test", "engine": "", "version": "1.2.3", "components": components}


def test_it_says_what_is_and_of_when() -> None:
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
        ({}, "Unknown: there are no components"),
        ({"db": "pass", "cache": "pass"}, "All systems operational"),
        ({"cache": "warn", "db": "fail"}, "Database disrupted, Cache degraded"),
        ({"one": "unknown"}, "one unknown"),
        (dict.fromkeys("abcd", "fail"), "4 of 4 components are not operational"),
    ],
)
def test_the_sentence_names_the_worst_first(states: dict[str, str], sentence: str) -> None:
    assert f"</span>{sentence}</h1>" in snapshot(present(**states), NOW).decode()


def test_a_name_is_a_text_and_no_html() -> None:
    text = snapshot(present(**{"<b onclick=x>": "fail"}) | {"stack": '"<i>'}, NOW).decode()
    assert "<b onclick" not in text
    assert "<i>" not in text
    assert "&lt;b onclick=x&gt; disrupted" in text
