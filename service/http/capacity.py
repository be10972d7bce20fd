"""The maximum number of connections, and which of them the server closes to admit new ones.

A new connection is never refused in favour of an inactive one: it may be a health check.
"""

from __future__ import annotations

import contextlib
import resource
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from service.http import limits

if TYPE_CHECKING:
    from service.http.channel import Channel

OWN = 100
"""Descriptors reserved for everything but client connections: databases, probes, files."""
FEWEST = 16
STALLED_AFTER = 1.0
"""Seconds after which a stalled connection is closed before an idle one."""


def connections() -> int:
    """Return how many connections the limit of open files allows; raise a soft limit that is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS + OWN
    if _less(soft, wanted):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if _less(wanted, hard) else hard, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(limits.CONNECTIONS, max(FEWEST, soft - OWN)) if _less(soft, wanted) else limits.CONNECTIONS


def _less(limit: int, other: int) -> bool:
    return limit != resource.RLIM_INFINITY and (other == resource.RLIM_INFINITY or limit < other)


def expendable(channels: Iterable[Channel], count: int, now: float) -> list[Channel]:
    """Return at most `count` connections to close; never one whose request is being answered.

    Stalled connections come before idle ones; among these, the address with the most connections comes first, then
    the oldest connection.
    """
    candidates = [channel for channel in channels if channel.phase != "answering"]
    by_address = Counter(channel.addr[0] for channel in candidates)

    def rank(channel: Channel) -> tuple[bool, int, float]:
        stalled = channel.phase != "idle" and now - channel.since > STALLED_AFTER
        return not stalled, -by_address[channel.addr[0]], channel.since

    return sorted(candidates, key=rank)[:count]
