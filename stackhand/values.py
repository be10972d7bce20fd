"""The types that `.env.example` gives its settings, and what a value of each must be."""

from __future__ import annotations

import re
from collections.abc import Callable

SHORTEST_SECRET = 8
RESERVED = {"role": "pg_.*|public|none", "database": "template0|template1"}
"""By the word behind `type: name`: what PostgreSQL refuses, or has a use of its own for."""
ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?")


def _port(value: str, _: tuple[str, ...]) -> str:
    good = value.isascii() and value.isdigit() and 1 <= int(value) <= 65535  # noqa: PLR2004 - the TCP range
    return "" if good else "a port, 1 to 65535"


def _choice(value: str, words: tuple[str, ...]) -> str:
    return "" if value in words else f"one of {', '.join(words)}"


def _seconds(value: str, words: tuple[str, ...]) -> str:
    low, high = float(words[0]), float(words[1])
    good = re.fullmatch(r"\d+(\.\d+)?", value) is not None and low <= float(value) <= high
    return "" if good else f"a number of seconds, {words[0]} to {words[1]}"


def _size(value: str, _: tuple[str, ...]) -> str:
    good = re.fullmatch(r"[1-9]\d*(kb|mb|gb)", value) is not None
    return "" if good else "a size such as 64mb (kb, mb or gb)"


def _name(value: str, words: tuple[str, ...]) -> str:
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", value) is None:
        return "a name: a small letter, then up to 62 small letters, digits, - or _"
    for word in words:
        if re.fullmatch(RESERVED[word], value):
            return f"a name that PostgreSQL does not keep for itself, as it does {RESERVED[word].replace('|', ', ')}"
    return ""


def _secret(value: str, words: tuple[str, ...]) -> str:
    if len(value) < SHORTEST_SECRET or "\0" in value:
        return f"a secret of {SHORTEST_SECRET} characters or more"
    if "login" in words and not _is_for_login(value):
        return (
            "a secret that PostgreSQL's login takes: no control characters, and none newer than Unicode 3.2 (RFC 4013)"
        )
    return ""


def _is_for_login(value: str) -> bool:
    """Whether the driver can log in with a password; it follows RFC 4013 (SASLprep), where psql is lenient."""
    if value.isascii():
        return value.isprintable()
    from scramp.utils import ScramException, saslprep

    try:
        return bool(saslprep(value))
    except ScramException:
        return False


def _origins(value: str, words: tuple[str, ...]) -> str:
    given = [each.strip() for each in value.split(",")] if value else []
    good = all(ORIGIN.fullmatch(each) for each in given)
    if words:
        return "" if good and len(given) <= int(words[0]) else "an origin such as https://example.org, or nothing"
    return "" if good else "origins such as https://example.org with commas between, or nothing"


Check = Callable[[str, tuple[str, ...]], str]
CHECKS: dict[str, Check] = {
    "name": _name,
    "port": _port,
    "choice": _choice,
    "seconds": _seconds,
    "size": _size,
    "secret": _secret,
    "origins": _origins,
}
"""By type: a function that returns what was expected, or nothing when the value is good."""
