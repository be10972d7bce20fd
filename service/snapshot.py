"""The words of the page, and the current state as HTML that a page includes: readers see it before any script runs.

This module is the only source of these words. The script of the page gets them in the `display` of /api/status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

STATES = {"pass": "Operational", "warn": "Degraded", "fail": "Disrupted", "unknown": "Unknown", "no_data": "No data"}
NAMES = {"db": "Database", "cache": "Cache", "web": "Web server"}
WORST_FIRST = ("fail", "unknown", "warn", "pass")
UNUSABLE = ("fail", "unknown")
MAX_NAMED = 3
"""Failing components that the summary names; of more, it gives the number."""

PAGE = """<p class="quiet">{about}</p>
<h1 class="{state}"><span class="shape"></span><span class="was">Unknown: no answer from the API. Last known: \
</span>{summary}</h1>
{lede}<p class="quiet">As of {time}</p>
<ul class="components">
{rows}
</ul>
"""
ROW = """<li class="{state}"><b>{name}</b>\
<span class="state"><span class="shape"></span><span class="was">Unknown, was </span>{text}</span>\
<span class="quiet since">since {since}</span><span class="quiet latency">{latency}</span></li>"""

Components = Sequence[Mapping[str, Any]]


def display(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words in which a page shows a state, ready for JSON.

    Args:
        status: as `CurrentStatus.document` returns it; its phase and components suffice.
    """
    components = sorted(status["components"], key=lambda each: WORST_FIRST.index(each["status"]))
    troubled = [each for each in components if each["status"] != "pass"]
    phase = "" if status["phase"] == "ready" else f"The service is {status['phase']}"
    state = components[0]["status"] if components else "unknown"
    headlines = [{"name": each["name"], "text": _headline(each)} for each in troubled[: MAX_NAMED + 1]]
    return {
        "state": "warn" if state == "pass" and phase else state,
        "summary": _summary(headlines, len(troubled), len(components), phase),
        "headlines": headlines if len(troubled) <= MAX_NAMED else [],
        "consequence": _consequence(status["components"], phase),
        "states": STATES,
        "names": NAMES,
    }


def snapshot(status: Mapping[str, Any], now: float) -> bytes:
    """Return the current state as HTML. Inside an element of class `last` it reads as the last known state.

    Args:
        status: as `CurrentStatus.document` returns it.
        now: in seconds since the epoch.
    """
    words = display(status)
    about = (status["stack"], status["environment"], status["engine"], f"version {status['version']}")
    consequence = words["consequence"]
    return PAGE.format(
        about=escape(" · ".join(each for each in about if each)),
        state=words["state"],
        summary=escape(words["summary"]),
        lede=f'<p class="lede">{escape(consequence)}</p>\n' if consequence else "",
        time=_time(now, "%H:%M:%S"),
        rows="\n".join(map(_row, status["components"])),
    ).encode()


def _summary(headlines: Sequence[Mapping[str, str]], troubled: int, total: int, phase: str) -> str:
    if total == 0:
        return "Unknown: no components are configured"
    if troubled > MAX_NAMED:
        return f"{troubled} of {total} components are not operational"
    return ", ".join(each["text"] for each in headlines) or phase or "All systems operational"


def _consequence(components: Components, phase: str) -> str:
    """Return what unusable components mean for the service; nothing if all of them are usable."""
    if all(each["status"] == "pass" for each in components):
        return ""
    if phase:
        return f"{phase}."
    unusable = [each for each in components if each["status"] in UNUSABLE]
    if not unusable:
        return ""
    effect = "cannot operate" if any(each["critical"] for each in unusable) else "continues to operate"
    working = ", ".join(_name(each) for each in components if each["status"] == "pass")
    rest = f" Still operational: {working}." if working else ""
    return f"The service {effect} without {'them' if len(unusable) > 1 else 'it'}.{rest}"


def _row(component: Mapping[str, Any]) -> str:
    status, output = component["status"], component.get("output", "")
    latency = None if status == "fail" else component.get("observedValue")
    reason = f": {output.replace('_', ' ')}" if output and status != "pass" else ""
    return ROW.format(
        state=status,
        name=escape(_name(component)),
        text=escape(STATES[status] + reason),
        since=_time(datetime.fromisoformat(component["since"]).timestamp(), "%H:%M"),
        latency="" if latency is None else f"{latency:,.1f}".removesuffix(".0") + " ms",
    )


def _headline(component: Mapping[str, Any]) -> str:
    return f"{_name(component)} {STATES[component['status']].lower()}"


def _name(component: Mapping[str, Any]) -> str:
    name = str(component["name"])
    return NAMES.get(name, name)


def _time(seconds: float, form: str) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at.day} {at:%b}, {at:{form}} UTC</time>'
