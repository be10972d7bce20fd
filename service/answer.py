"""A JSON answer, and the form in which it is kept in Redis."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMAT = b"stackhand-answer/1"


@dataclass(frozen=True)
class Answer:
    """An answer as it is sent.

    Args:
        body: JSON.
        etag: of the body, in quotes.
        made_at: when, in seconds since 1970.
        stale: it is older than it should be, for a newer one cannot be made now.
    """

    body: bytes
    etag: str
    made_at: float
    stale: bool = False

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return max(0.0, time.time() - self.made_at)


def make_answer(content: Mapping[str, Any]) -> Answer:
    """Return the answer with this content, made now.

    Raises:
        TypeError: it has something that JSON cannot say.
        ValueError: likewise; a number that is none, for example.
    """
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Answer(body, _etag(body), time.time())


def encode(key: str, answer: Answer) -> bytes:
    """Return a value that nobody takes for an answer when it is cut, changed, or another key's."""
    rest = b"%s\n%r\n%s" % (key.encode(), answer.made_at, answer.body)
    return b"%s %s\n%s" % (FORMAT, hashlib.sha256(rest).hexdigest().encode(), rest)


def decode(key: str, value: bytes) -> Answer | None:
    """Return the answer of a value that `encode` returned for this key; None for every other one."""
    head, _, rest = value.partition(b"\n")
    if head != b"%s %s" % (FORMAT, hashlib.sha256(rest).hexdigest().encode()):
        return None
    for_key, made_at, body = rest.split(b"\n", 2)
    return Answer(body, _etag(body), float(made_at)) if for_key == key.encode() else None


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'
