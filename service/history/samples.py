"""Samples, and how a round of them travels."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from uuid import UUID

from service.health.state import FAIL, PASS, UNKNOWN, WARN

STATUSES = (PASS, WARN, FAIL, UNKNOWN)
COMPONENT_LENGTH = 100
CODE_LENGTH = 100
LAST_TIME = 32_503_680_000.0
"""The year 3000, in seconds since the epoch: later times are no times."""
LAST_SEQUENCE = 2**31 - 1
LONGEST_MS = 1e9
"""A latency of eleven days: longer ones are no latencies, and their sums might not fit a number."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is held true of one component when a sample is taken.

    Args:
        component: its name, such as db.
        status: pass, warn, fail or unknown; anything else counts as unknown.
        latency_ms: how long the last probe took, in milliseconds; None when that is not known.
        code: a word for what is wrong; empty when nothing is.
    """

    component: str
    status: str
    latency_ms: float | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """One sample of every component, taken at one time by one process.

    Args:
        instance: id of the process.
        sequence: which of its rounds this is.
        at: when it was taken, in seconds since the epoch, by the process's own clock.
        readings: one for each component.
    """

    instance: str
    sequence: int
    at: float
    readings: tuple[Reading, ...]

    @property
    def key(self) -> tuple[str, int]:
        """What no other round has."""
        return self.instance, self.sequence


def take(instance: str, sequence: int, at: float, readings: Iterable[Reading]) -> Round:
    """Return a round that the database will accept: names and codes cut to length, no nonsense among the numbers.

    Args:
        instance: id of the process, a UUID.
        sequence: which of its rounds this is.
        at: now, in seconds since the epoch.
        readings: one for each component.

    Raises:
        ValueError: the id is no UUID, or a number is outside of what can be stored.
    """
    if type(sequence) is not int or not 0 <= sequence <= LAST_SEQUENCE or not 0 <= at <= LAST_TIME:
        raise ValueError(f"no round can have number {sequence} and time {at}")
    usable = (_usable(reading) for reading in readings)
    by_name = {reading.component: reading for reading in usable if reading.component}
    return Round(str(UUID(instance)), sequence, round(at, 3), tuple(by_name[name] for name in sorted(by_name)))


def encode(taken: Round) -> str:
    """Return a round as JSON."""
    return json.dumps(asdict(taken), separators=(",", ":"))


def decode(text: str | bytes) -> Round:
    """Return the round that `encode` wrote.

    Raises:
        ValueError: the text is something else.
    """
    try:
        found = json.loads(text)
        readings = [Reading(**each) for each in found["readings"]]
        return take(found["instance"], found["sequence"], found["at"], readings)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"this is no round of samples: {text[:100]!r}") from error


def _usable(reading: Reading) -> Reading:
    latency = reading.latency_ms
    if latency is not None:
        latency = round(float(latency), 3) if 0 <= latency <= LONGEST_MS else None
    status = reading.status if reading.status in STATUSES else UNKNOWN
    return Reading(_text(reading.component, COMPONENT_LENGTH), status, latency, _text(reading.code, CODE_LENGTH))


def _text(value: str, length: int) -> str:
    """Return what PostgreSQL can store: it takes no zero byte, and no half of a surrogate pair."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:length]
