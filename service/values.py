"""Parsers for variables: each returns the value of a text, or raises ValueError with the expected form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TLS_MODES = {"disable": False, "require": True, "verify-ca": True, "verify-full": True}
"""TLS modes of libpq, and whether they use TLS here. With TLS, the certificate is always verified."""
RESERVED_NAMES = frozenset({"db", "cache", "all", "ready"})
"""Names below /health/ that additional components cannot use."""


def url(value: str, schemes: Mapping[str, int]) -> Any:
    """Return the parts of a URL with one of these schemes and a host."""
    expected = f"a URL such as {next(iter(schemes))}://host:port/name"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in schemes or not _is_host(parts.hostname) or port == 0:
        raise ValueError(expected)
    return parts


def host(value: str) -> str:
    """Return a host name or address that a resolver accepts."""
    if not _is_host(value):
        raise ValueError(f"the name of a host, but it is {value!r}")
    return value


def port(value: str) -> int:
    """Return a TCP port."""
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value) <= 65535:  # noqa: PLR2004 - the TCP range
        raise ValueError(f"a port, 1 to 65535, but it is {value!r}")
    return int(value)


def count(value: str) -> int:
    """Return a whole number of at least 1."""
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value) <= 10_000:  # noqa: PLR2004 - more is a mistake
        raise ValueError(f"a whole number, 1 to 10000, but it is {value!r}")
    return int(value)


def seconds_or_zero(value: str) -> float:
    """Return seconds, or 0."""
    return 0.0 if value == "0" else seconds(value)


def seconds(value: str) -> float:
    """Return seconds, at most an hour."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number <= 3600:  # noqa: PLR2004 - an hour
        raise ValueError(f"seconds, more than 0 and at most 3600, but it is {value!r}")
    return number


def half_a_minute(value: str) -> float:
    """Return seconds, at most 30: a minute without a sample is a gap."""
    number = seconds(value)
    if number > 30:  # noqa: PLR2004 - half a minute
        raise ValueError(f"seconds, more than 0 and at most 30, but it is {value!r}")
    return number


def level(value: str) -> str:
    """Return a log level."""
    if value not in {"debug", "info", "warning", "error"}:
        raise ValueError(f"one of debug, info, warning, error, but it is {value!r}")
    return value


def switch(value: str) -> bool:
    """Return whether a switch is on."""
    if value not in {"0", "1"}:
        raise ValueError(f"0 or 1, but it is {value!r}")
    return value == "1"


def tls_mode(value: str) -> bool:
    """Return whether a TLS mode of libpq uses TLS."""
    if value not in TLS_MODES:
        raise ValueError(f"one of {', '.join(TLS_MODES)}, but it is {value!r}")
    return TLS_MODES[value]


def file(value: str) -> str:
    """Return the path of an existing file."""
    if not Path(value).is_file():
        raise ValueError(f"the path of a file, but it is {value!r}")
    return value


def schema(value: str) -> str:
    """Return the name of a schema of PostgreSQL, which needs no quotes."""
    reserved = value.startswith("pg_") or value == "information_schema"
    if reserved or not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value):
        raise ValueError(f"a schema such as stackhand_status, but it is {value!r}")
    return value


def origins(value: str) -> tuple[str, ...]:
    """Return the origins in a comma-separated list."""
    entries = tuple(entry.strip() for entry in value.split(","))
    for entry in entries:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", entry):
            raise ValueError(f"a list of origins such as https://status.example.com, but it has {entry!r}")
    return entries


def hosts(value: str) -> tuple[str, ...]:
    """Return the host names in a comma-separated list, in lower case: `.name` includes subdomains, `*` is any name."""
    entries = tuple(entry.strip().lower() for entry in value.split(",") if entry.strip())
    for entry in entries:
        if not re.fullmatch(r"\*|\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*", entry):
            raise ValueError(f"a list of hosts such as status.example.com or .example.com, but it has {entry!r}")
    return entries


def targets(value: str) -> tuple[tuple[str, str], ...]:
    """Return names and URLs of additional components in a comma-separated list."""
    urls: dict[str, str] = {}
    for entry in value.split(","):
        name, _, url = entry.strip().partition("=")
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
            raise ValueError(f"a list of name=http://host/path, but it has {entry!r}")
        if name in RESERVED_NAMES:
            name += "-service"  # the user did not choose the name: it comes from docker-compose.yml
        if name in urls:
            raise ValueError(f"a list of different names, but it has {name!r} twice")
        urls[name] = url
    return tuple(urls.items())


def _is_host(value: str | None) -> bool:
    """Return whether this may be a host name: for any other the resolver raises an unusual error."""
    try:
        return bool(value and value.encode("idna"))
    except UnicodeError:
        return False
