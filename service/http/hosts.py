"""The hosts a request may be for.

A page of a stranger can have its own name resolved to 127.0.0.1 (DNS rebinding), and would read what a service on this
machine answers. Its requests still carry that name in Host.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable

HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{0,5})?", re.IGNORECASE)
REMEMBERED = 256


def is_well_formed(header: str) -> bool:
    """Whether the value of a Host header is a host with or without a port."""
    return HOST.fullmatch(header) is not None


class Hosts:
    """Decides by the value of a Host header.

    Allowed are addresses, for only a name can be rebound, and localhost with all below it.

    Args:
        allowed: further names; `.example.com` is example.com and all below it, `*` is every name.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        found = frozenset(allowed)
        self._every = "*" in found
        self._names = frozenset({"localhost", *(name.removeprefix(".") for name in found)})
        self._below = (".localhost", *(name for name in found if name.startswith(".")))
        self.allow = functools.lru_cache(REMEMBERED)(self._allow)

    def _allow(self, header: str) -> bool:
        found = HOST.fullmatch(header)
        if found is None:
            return False
        if self._every or found["six"]:
            return self._every or _is_address(found["six"])
        name = found["name"].lower().removesuffix(".")
        return name in self._names or name.endswith(self._below) or _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
