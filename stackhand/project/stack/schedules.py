"""When a job runs: what EventBridge Scheduler accepts as an expression and a time zone."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EXPECTED = "rate(NUMBER minutes|hours|days) or cron(MINUTE HOUR DAY MONTH WEEKDAY YEAR) with ? as either day"


def is_valid(expression: str) -> bool:
    """Whether it is an expression of EventBridge Scheduler that recurs: one of day and weekday must be `?` in cron."""
    if cron := re.fullmatch(r"cron\((\S+(?: \S+){5})\)", expression):
        fields = cron[1].split(" ")
        return (fields[2] == "?") != (fields[4] == "?") and "?" not in "".join(fields[:2] + fields[3:4] + fields[5:])
    return bool(re.fullmatch(r"rate\([1-9]\d* (minute|hour|day)s?\)", expression))


def is_zone(name: str) -> bool:
    """Whether this machine knows a time zone of that name."""
    try:
        return bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
