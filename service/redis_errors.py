"""What is wrong with Redis, in one word, from what a client raised."""

from __future__ import annotations

import redis

REASONS: dict[type[Exception], str] = {
    redis.BusyLoadingError: "loading",
    redis.AuthenticationError: "authentication",
    redis.exceptions.NoPermissionError: "permission",
    redis.ReadOnlyError: "read_only",
    redis.OutOfMemoryError: "out_of_memory",
    redis.TimeoutError: "timeout",
    redis.ConnectionError: "unreachable",
    TimeoutError: "timeout",
    OSError: "unreachable",
}
"""Words for what Redis may answer; the first class that fits."""
TAKES_NO_WRITES = frozenset({"read_only", "out_of_memory", "cannot_persist"})
"""Reasons with which Redis still gives what it has, so that it is asked on."""
STARTS = {"NOAUTH": "authentication", "NOPERM": "permission", "OOM": "out_of_memory", "MISCONF": "cannot_persist"}
"""What redis-py has no class for in a pipeline, by how the server's answer begins."""


def reason_of(error: Exception) -> str:
    """Return the word for an error; other for one that nobody expects."""
    for start, word in STARTS.items():
        if str(error).startswith(start):
            return word
    return next((word for kind, word in REASONS.items() if isinstance(error, kind)), "other")
