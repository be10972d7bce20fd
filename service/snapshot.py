"""The state now as a piece of HTML, for a page to include: what readers see before, or without, any script.

`web/now.js` draws the same from the JSON of `/api/status`, with the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

STATES = {"pass": "Operational", "warn": "Degraded", "fail": "Disrupted", "unknown": "Unknown"}
NAMES = {"db": "Database", "cache": "Cache", "web": "Web server"}
WORST_FIRST = ("fail", "unknown", "warn", "pass")
UNUSABLE = ("fail", "unknown")
NAMED = 3
"""Components in trouble that are named in the sentence; of more, it tells the number."""

PAGE = """<p class="quiet">{about}</p>
<h1 class="{state}"><span class="shape"></span><span class="was">Unknown: no answer from the API. Last known: \
</span>{sentence}</h1>
{lede}<p class="quiet">As of {time}</p>
<ul class="components">
{rows}
</ul>
"""
ROW = """<li class="{state}"><b>{name}</b>\
<span class="state"><span class="shape"></span><span class="was">Unknown, was </span>{word}</span>\
<span class="quiet since">since {since}</span><span class="quiet latency">{latency}</span></li>"""


def snapshot(present: Mapping[str, Any], now: float) -> bytes:
    """Return the state now as HTML. With the class `last` around it, it says that it is the last known state.

    Args:
        present: of `HistoryApi.present`.
        now: in seconds since the epoch.
    """
    components = sorted(present["components"], key=lambda each: WORST_FIRST.index(each["status"]))
    troubled = [each for each in components if each["status"] != "pass"]
    phase = "" if present["phase"] == "ready" else f"The service is {present['phase']}"
    state = components[0]["status"] if components else "unknown"
    about = (present["stack"], present["environment"], present["engine"], f"version {present['version']}")
    return PAGE.format(
        about=escape(" · ".join(each for each in about if each)),
        state="warn" if state == "pass" and phase else state,
        sentence=escape(_sentence(troubled, len(components), phase)),
        lede=f'<p class="lede">{escape(lede)}</p>\n' if (lede := _consequence(components, phase)) else "",
        time=_time(now, "%H:%M:%S"),
        rows="\n".join(map(_row, present["components"])),
    ).encode()


def _sentence(troubled: list[Mapping[str, Any]], total: int, phase: str) -> str:
    if total == 0:
        return "Unknown: there are no components"
    if len(troubled) > NAMED:
        return f"{len(troubled)} of {total} components are not operational"
    words = [f"{_name(each)} {STATES[each['status']].lower()}" for each in troubled]
    return ", ".join(words) or phase or "All systems operational"


def _consequence(components: list[Mapping[str, Any]], phase: str) -> str:
    """Return what the trouble means; nothing when there is none, or only something degraded."""
    if all(each["status"] == "pass" for each in components):
        return ""
    if phase:
        return f"{phase}."
    bad = [each for each in components if each["status"] in UNUSABLE]
    if not bad:
        return ""
    does = "cannot do its work" if any(each["critical"] for each in bad) else "works on"
    well = ", ".join(_name(each) for each in components if each["status"] == "pass")
    rest = f" Still operational: {well}." if well else ""
    return f"The service {does} without {'them' if len(bad) > 1 else 'it'}.{rest}"


def _row(component: Mapping[str, Any]) -> str:
    status, output = component["status"], component.get("output", "")
    latency = None if status == "fail" else component.get("observedValue")
    why = f": {output.replace('_', ' ')}" if output and status != "pass" else ""
    return ROW.format(
        state=status,
        name=escape(_name(component)),
        word=escape(STATES[status] + why),
        since=_time(datetime.fromisoformat(component["since"]).timestamp(), "%H:%M"),
        latency="" if latency is None else f"{latency:,.1f}".removesuffix(".0") + " ms",
    )


def _name(component: Mapping[str, Any]) -> str:
    name = str(component["name"])
    return NAMES.get(name, name)


def _time(seconds: float, form: str) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at.day} {at:%b}, {at:{form}} UTC</time>'
