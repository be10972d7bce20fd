"""The types that `.env.example` gives its settings, and what a value of each must be."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

SHORTEST_SECRET = 8
"""Of one that is made here; how long a given one is, somebody else has decided."""
REQUIRED = "required"
"""The word behind a type that does not let its value be empty."""
RESERVED = {"role": "pg_.*|public|none", "database": "template0|template1"}
"""By the word behind `type: name`: what PostgreSQL refuses, or has a use of its own for."""
LOGIN = re.compile(r"://[^/?#\s]*@")
"""In a URL: a user, and perhaps a password."""
ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?")
HOST = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
LISTED = rf"\s*({HOST.pattern})\s*"

Check = Callable[[str, tuple[str, ...]], str]
"""Returns what was expected of a value by the words behind its type; nothing when it is good."""


def _matching(pattern: str, expected: str) -> Check:
    return lambda value, _: "" if re.fullmatch(pattern, value) else expected


def _port(value: str, _: tuple[str, ...]) -> str:
    good = value.isascii() and value.isdigit() and 1 <= int(value) <= 65535  # noqa: PLR2004 - the TCP range
    return "" if good else "a port, 1 to 65535"


def _choice(value: str, words: tuple[str, ...]) -> str:
    return "" if value in words else f"one of {', '.join(words)}"


def _name(value: str, words: tuple[str, ...]) -> str:
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", value) is None:
        return "a name: a lower-case letter, then up to 62 lower-case letters, digits, - or _"
    for word in words:
        if re.fullmatch(RESERVED[word], value):
            return f"a name that PostgreSQL does not reserve, unlike {RESERVED[word].replace('|', ', ')}"
    return ""


def _url(value: str, schemes: tuple[str, ...]) -> str:
    if LOGIN.search(value):
        return "a URL without a login; a URL with a login is a secret: '# type: secret given url'"
    return "" if _is_url(value, schemes) else _url_of(schemes)


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        _ = parts.port  # which is read only now
    except ValueError:
        return False
    known = parts.scheme in schemes if schemes else bool(parts.scheme)
    return known and bool(parts.hostname) and value.isprintable() and " " not in value


def _url_of(schemes: tuple[str, ...]) -> str:
    return f"a URL such as {' or '.join(f'{scheme}://example.org' for scheme in schemes or ('https',))}"


def schemes_of(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the schemes that a secret URL may have, none for any; None when the secret is no URL."""
    if "url" not in words:
        return None
    return tuple(word for word in words[words.index("url") + 1 :] if word != REQUIRED)


def _number(value: str, bounds: tuple[str, ...], pattern: str = r"-?[0-9]+(\.[0-9]+)?", noun: str = "a number") -> str:
    good = re.fullmatch(pattern, value) is not None
    if not bounds:
        return "" if good else noun
    low, high = map(float, bounds)
    return "" if good and low <= float(value) <= high else f"{noun}, {bounds[0]} to {bounds[1]}"


def _secret(value: str, words: tuple[str, ...]) -> str:
    if "given" in words and not value:
        return "set, because only you know it, but it is empty" if REQUIRED in words else ""
    if "given" not in words and len(value) < SHORTEST_SECRET:
        return f"a secret of {SHORTEST_SECRET} characters or more"
    if "\0" in value:
        return "a secret without NUL characters"
    schemes = schemes_of(words)
    if schemes is not None and not _is_url(value, schemes):
        return f"a secret that is {_url_of(schemes)}"
    if "login" in words and not _is_for_login(value):
        return (
            "a secret valid for PostgreSQL's login: no control characters, and none newer than Unicode 3.2 (RFC 4013)"
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
    return "" if good else "origins such as https://example.org, separated by commas, or nothing"


def _optional(check: Check) -> Check:
    """Return a check that lets a value be empty, unless its type says `required`."""

    def checked(value: str, words: tuple[str, ...]) -> str:
        if not value and REQUIRED not in words:
            return ""
        return check(value, tuple(word for word in words if word != REQUIRED))

    return checked


CHECKS: dict[str, Check] = {
    "name": _name,
    "port": _port,
    "choice": _choice,
    "seconds": partial(_number, pattern=r"\d+(\.\d+)?", noun="a number of seconds"),
    "size": _matching(r"[1-9]\d*(kb|mb|gb)", "a size such as 64mb (kb, mb or gb)"),
    "text": _optional(_matching(r"[^\0]+", "some text")),
    "url": _optional(_url),
    "number": _optional(_number),
    "integer": _optional(partial(_number, pattern="-?[0-9]+", noun="a whole number")),
    "boolean": _optional(_matching("true|false", "true or false")),
    "email": _optional(
        _matching(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", "an e-mail address such as ann@example.org"),
    ),
    "secret": _secret,
    "origins": _origins,
    "hosts": _matching(
        rf"({LISTED}(,{LISTED})*)?",
        "host names such as example.org, separated by commas (.example.org: with subdomains, *: any), or nothing",
    ),
}

BOUNDS = r"-?\d+(\.\d+)? -?\d+(\.\d+)?"
WORDS = {
    "name": ("(role|database)?", "name [role | database]"),
    "choice": (r"\S+( \S+)*", "choice VALUE ..."),
    "seconds": (BOUNDS, "seconds LOWEST HIGHEST"),
    "text": ("(required)?", "text [required]"),
    "url": (r"([a-z][a-z0-9+.-]*( |$))*", "url [SCHEME ...] [required]"),
    "number": (rf"({BOUNDS})?((^| )required)?", "number [LOWEST HIGHEST] [required]"),
    "integer": (rf"({BOUNDS})?((^| )required)?", "integer [LOWEST HIGHEST] [required]"),
    "boolean": ("(required)?", "boolean [required]"),
    "email": ("(required)?", "email [required]"),
    "secret": (
        r"generated( login)?|given( login)?( url( [a-z][a-z0-9+.-]*)*)?( required)?",
        "secret generated [login], or secret given [login] [url [SCHEME ...]] [required]",
    ),
    "origins": ("1?", "origins [1]"),
}
"""By type: a pattern of the words that may stand behind it, and how that is written down; none behind the others."""


def may_be_shown(kind: str, value: str) -> bool:
    """Whether a value may be seen: no secret, and no URL with a login in it, whatever its type says."""
    return kind != "secret" and LOGIN.search(value) is None
