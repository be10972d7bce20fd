"""What a variable may say: each function reads the text of one kind, or raises ValueError with what it must be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TLS_MODES = {"disable": False, "require": True, "verify-ca": True, "verify-full": True}
"""libpq's words for TLS, and whether we use it. Where we do, we verify: a secret told to anybody is none."""
OUR_COMPONENTS = frozenset({"db", "cache", "all", "ready"})
"""Names below /health/ that no other component may have."""


def url(value: str, schemes: Mapping[str, int]) -> Any:
    """Return the parts of a URL with one of these schemes and a host."""
    wanted = f"a URL such as {next(iter(schemes))}://host:port/name"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(wanted) from None
    if parts.scheme not in schemes or not _is_host(parts.hostname) or port == 0:
        raise ValueError(wanted)
    return parts


def host(value: str) -> str:
    """Return a name, or an address, that a resolver can be asked for."""
    if not _is_host(value):
        raise ValueError(f"the name of a host, but it is {value!r}")
    return value


def port(value: str) -> int:
    """Return the number of a TCP port."""
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value) <= 65535:  # noqa: PLR2004 - the TCP range
        raise ValueError(f"a port, 1 to 65535, but it is {value!r}")
    return int(value)


def count(value: str) -> int:
    """Return a whole number from 1 on."""
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value) <= 10_000:  # noqa: PLR2004 - more is a slip
        raise ValueError(f"a whole number, 1 to 10000, but it is {value!r}")
    return int(value)


def seconds_or_none(value: str) -> float:
    """Return seconds, or 0 for none."""
    return 0.0 if value == "0" else seconds(value)


def seconds(value: str) -> float:
    """Return seconds of an hour at most."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number <= 3600:  # noqa: PLR2004 - an hour
        raise ValueError(f"seconds, more than 0 and at most 3600, but it is {value!r}")
    return number


def half_a_minute(value: str) -> float:
    """Return seconds, 30 at most: for samples, as a minute without one is a gap."""
    number = seconds(value)
    if number > 30:  # noqa: PLR2004 - half a minute
        raise ValueError(f"seconds, more than 0 and at most 30, but it is {value!r}")
    return number


def level(value: str) -> str:
    """Return the name of a level of the log."""
    if value not in {"debug", "info", "warning", "error"}:
        raise ValueError(f"one of debug, info, warning, error, but it is {value!r}")
    return value


def switch(value: str) -> bool:
    """Return whether it is on."""
    if value not in {"0", "1"}:
        raise ValueError(f"0 or 1, but it is {value!r}")
    return value == "1"


def tls_mode(value: str) -> bool:
    """Return whether one of libpq's words for TLS asks for it."""
    if value not in TLS_MODES:
        raise ValueError(f"one of {', '.join(TLS_MODES)}, but it is {value!r}")
    return TLS_MODES[value]


def file(value: str) -> str:
    """Return the path of a file that is there."""
    if not Path(value).is_file():
        raise ValueError(f"the path of a file, but it is {value!r}")
    return value


def origins(value: str) -> tuple[str, ...]:
    """Return origins, parted by commas."""
    found = tuple(entry.strip() for entry in value.split(","))
    for entry in found:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", entry):
            raise ValueError(f"a list of origins such as https://status.example.com, but it has {entry!r}")
    return found


def hosts(value: str) -> tuple[str, ...]:
    """Return names of hosts in lower case, parted by commas: `.name` is it and all below it, `*` all."""
    found = tuple(entry.strip().lower() for entry in value.split(",") if entry.strip())
    for entry in found:
        if not re.fullmatch(r"\*|\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*", entry):
            raise ValueError(f"a list of hosts such as status.example.com or .example.com, but it has {entry!r}")
    return found


def targets(value: str) -> tuple[tuple[str, str], ...]:
    """Return names and URLs of further components, parted by commas."""
    found: dict[str, str] = {}
    for entry in value.split(","):
        name, _, url = entry.strip().partition("=")
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
            raise ValueError(f"a list of name=http://host/path, but it has {entry!r}")
        if name in OUR_COMPONENTS:
            name += "-service"  # nobody typed the name: it is that of an entry in docker-compose.yml
        if name in found:
            raise ValueError(f"a list of different names, but it has {name!r} twice")
        found[name] = url
    return tuple(found.items())


def _is_host(value: str | None) -> bool:
    """Return whether it may be a host's name: the resolver answers any other with an error of its own kind."""
    try:
        return bool(value and value.encode("idna"))
    except UnicodeError:
        return False
