"""The content of an error that boto3 raises, and its diagnosis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What is wrong; each has its own remedy."""

    NO_CREDENTIALS = "no credentials"
    UNKNOWN_PROFILE = "unknown profile"
    EXPIRED = "session expired"
    CLOCK = "clock wrong"
    NETWORK = "network"
    DENIED = "denied"
    REFUSED = "refused"


IDENTITY = frozenset({Kind.NO_CREDENTIALS, Kind.UNKNOWN_PROFILE, Kind.EXPIRED, Kind.CLOCK})
"""AWS does not accept the caller, so every other request fails as well."""


@dataclass(frozen=True)
class Diagnosis:
    """The meaning of one error.

    Args:
        kind: what is wrong.
        sentence: a description that can follow a colon: no capital, no full stop.
        evidence: what shows it.
        remedy: the command or act that fixes it.
    """

    kind: Kind
    sentence: str
    evidence: Sequence[str] = ()
    remedy: str = "fix that"

    @property
    def alone(self) -> str:
        """The sentence where nothing stands before it."""
        return f"{self.sentence[:1].upper()}{self.sentence[1:]}."


def answer_of(error: BaseException) -> dict[str, Any]:
    """Return AWS's answer; empty when there was none. A waiter keeps the last one."""
    answer = getattr(error, "response", None) or getattr(error, "last_response", None)
    return answer if isinstance(answer, dict) else {}


def code_of(error: BaseException) -> str:
    """Return the code in AWS's answer; empty when there was no answer."""
    return str(answer_of(error).get("Error", {}).get("Code", ""))


def message_of(error: BaseException) -> str:
    """Return an error's own message, on one line."""
    message = str(answer_of(error).get("Error", {}).get("Message", "")) or str(error)
    code = code_of(error)
    return " ".join((f"{code}: {message}" if code else message).split())


def names_of(error: BaseException) -> Iterator[str]:
    """Yield the names of botocore's classes that an error belongs to, the narrowest first."""
    for each in type(error).__mro__:
        if each.__module__ == "botocore.exceptions":
            yield each.__name__


def detail_of(error: BaseException, key: str) -> str:
    """Return one of the values that botocore puts into an error's text, on one line."""
    return " ".join(str(getattr(error, "kwargs", {}).get(key) or "").split())
