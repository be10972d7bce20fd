"""Samples, and how a round of them is encoded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from uuid import UUID

from service.health.component import Component
from service.health.state import FAIL, PASS, UNKNOWN, WARN

STATUSES = (PASS, WARN, FAIL, UNKNOWN)
COMPONENT_LENGTH = 100
CODE_LENGTH = 100
LAST_TIME = 32_503_680_000.0
"""The year 3000, in seconds since the epoch: a later time is an error."""
LAST_SEQUENCE = 2**31 - 1
LONGEST_MS = 1e9
"""Eleven days: a longer latency is an error, and the sum of several might not fit a number."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of one component.

    Args:
        component: its name, such as db.
        status: pass, warn, fail or unknown; anything else counts as unknown.
        latency_ms: duration of the last probe in milliseconds; None if unknown.
        code: the reason, for programs; empty when the component passes.
    """

    component: str
    status: str
    latency_ms: float | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """One sample of every component, taken at the same time by one process.

    Args:
        instance: id of the process.
        sequence: number of this round in the process.
        at: its time in seconds since the epoch, by the clock of the process.
        samples: one for each component.
    """

    instance: str
    sequence: int
    at: float
    samples: tuple[Sample, ...]

    @property
    def key(self) -> tuple[str, int]:
        """The unique key of the round."""
        return self.instance, self.sequence


def sample(component: Component) -> Sample:
    """Return the current sample of a component; does not wait."""
    last = component.state.last
    latency = last.latency_ms if last and last.status != FAIL else None
    return Sample(component.name, component.status, latency, last.code if last else "")


def take(instance: str, sequence: int, at: float, samples: Iterable[Sample]) -> Round:
    """Return a round that the database accepts: names and codes are truncated, invalid numbers removed.

    Args:
        instance: id of the process, a UUID.
        sequence: number of this round in the process.
        at: now, in seconds since the epoch.
        samples: one for each component.

    Raises:
        ValueError: the id is not a UUID, or a number cannot be stored.
    """
    if type(sequence) is not int or not 0 <= sequence <= LAST_SEQUENCE or not 0 <= at <= LAST_TIME:
        raise ValueError(f"a round cannot have number {sequence} and time {at}")
    cleaned = (_clean(each) for each in samples)
    by_name = {each.component: each for each in cleaned if each.component}
    return Round(str(UUID(instance)), sequence, round(at, 3), tuple(by_name[name] for name in sorted(by_name)))


def encode(taken: Round) -> str:
    """Return a round as JSON; replicas of other releases read the same keys."""
    fields = {"instance": taken.instance, "sequence": taken.sequence, "at": taken.at}
    return json.dumps(fields | {"readings": [asdict(each) for each in taken.samples]}, separators=(",", ":"))


def decode(text: str | bytes) -> Round:
    """Return the round that `encode` wrote.

    Raises:
        ValueError: the text is something else.
    """
    try:
        fields = json.loads(text)
        samples = [Sample(**each) for each in fields["readings"]]
        return take(fields["instance"], fields["sequence"], fields["at"], samples)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a round of samples: {text[:100]!r}") from error


def _clean(given: Sample) -> Sample:
    latency = given.latency_ms
    if latency is not None:
        latency = round(float(latency), 3) if 0 <= latency <= LONGEST_MS else None
    status = given.status if given.status in STATUSES else UNKNOWN
    return Sample(_text(given.component, COMPONENT_LENGTH), status, latency, _text(given.code, CODE_LENGTH))


def _text(value: str, length: int) -> str:
    """Return text that PostgreSQL can store: it refuses zero bytes and lone surrogates."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:length]
