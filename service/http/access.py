"""Access control: which host names a request may use, and which bearer token it must have.

A foreign page can resolve its own name to 127.0.0.1 (DNS rebinding) and read what a service on this machine answers.
Its requests still carry the foreign name in the Host header.
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
import re
from collections.abc import Iterable

HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{0,5})?", re.IGNORECASE)
CACHED_HOSTS = 256


def has_token(authorization: str, token: str) -> bool:
    """Return whether an Authorization header carries the token; an empty token never matches.

    The comparison takes constant time, so that a wrong token reveals nothing about the right one.
    """
    return bool(token) and hmac.compare_digest(authorization.encode("latin-1", "replace"), f"Bearer {token}".encode())


def is_well_formed(header: str) -> bool:
    """Return whether the value of a Host header is a host with or without a port."""
    return HOST.fullmatch(header) is not None


class Hosts:
    """Allows or refuses a request by its Host header.

    IP addresses are allowed, because only a name can be rebound. So are localhost and its subdomains.

    Args:
        allowed: additional names; `.example.com` includes its subdomains, `*` allows every name.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        names = frozenset(allowed)
        self._any_name = "*" in names
        self._names = frozenset({"localhost", *(name.removeprefix(".") for name in names)})
        self._suffixes = (".localhost", *(name for name in names if name.startswith(".")))
        self.allow = functools.lru_cache(CACHED_HOSTS)(self._allow)

    def _allow(self, header: str) -> bool:
        host = HOST.fullmatch(header)
        if host is None:
            return False
        if self._any_name or host["ipv6"]:
            return self._any_name or _is_address(host["ipv6"])
        name = host["name"].lower().removesuffix(".")
        return name in self._names or name.endswith(self._suffixes) or _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
