"""A JSON answer, and its encoding in Redis."""

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
    """An answer.

    Args:
        body: JSON.
        etag: of the body, in quotes.
        made_at: time of its creation in seconds since 1970.
        stale: it is outdated, but no newer answer is available.
    """

    body: bytes
    etag: str
    made_at: float
    stale: bool = False


def make_answer(content: Mapping[str, Any]) -> Answer:
    """Return a new answer with this content.

    Raises:
        TypeError: JSON cannot represent the content.
        ValueError: likewise, for example NaN.
    """
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Answer(body, _etag(body), time.time())


def encode(key: str, answer: Answer) -> bytes:
    """Return the value to store; `decode` rejects it if it is truncated, altered, or stored under another key."""
    rest = b"%s\n%r\n%s" % (key.encode(), answer.made_at, answer.body)
    return b"%s %s\n%s" % (FORMAT, hashlib.sha256(rest).hexdigest().encode(), rest)


def decode(key: str, value: bytes) -> Answer | None:
    """Return the answer in a value that `encode` made for this key; None for any other value."""
    prefix, _, rest = value.partition(b"\n")
    if prefix != b"%s %s" % (FORMAT, hashlib.sha256(rest).hexdigest().encode()):
        return None
    stored_key, made_at, body = rest.split(b"\n", 2)
    return Answer(body, _etag(body), float(made_at)) if stored_key == key.encode() else None


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'
