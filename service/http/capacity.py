"""How many connections there is room for, and which of them make room for new ones when all are taken.

No new connection is refused for old ones that do nothing: it may be a health check.
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
"""Descriptors for all that is no connection of a client: the databases, probes, files."""
FEWEST = 16
STALLED_AFTER = 1.0
"""Seconds after which a connection that is in the middle of something makes room before one that is idle."""


def connections() -> int:
    """Return how many connections the limit of open files has room for; a soft limit that is too low is raised."""
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
    """Return the connections that make room, `count` at most; never one whose request is being answered.

    First those that stall, then those that are idle; of these, first those of the address that has most, then the
    oldest.
    """
    found = [channel for channel in channels if channel.phase != "answering"]
    by_address = Counter(channel.addr[0] for channel in found)

    def rank(channel: Channel) -> tuple[bool, int, float]:
        stalls = channel.phase != "idle" and now - channel.since > STALLED_AFTER
        return not stalls, -by_address[channel.addr[0]], channel.since

    return sorted(found, key=rank)[:count]
