"""The reason for a failure of Redis, as a code for programs."""

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
"""Codes by exception; the first class that matches counts."""
REFUSES_WRITES = frozenset({"read_only", "out_of_memory", "cannot_persist"})
"""Reasons that leave Redis readable, so that it is still asked."""
UNAVAILABLE = frozenset({"timeout", "unreachable", "other"})
"""Reasons that come from the connection, not from an answer of Redis that has a code."""
PREFIXES = {
    "NOAUTH": "authentication",
    "NOPERM": "permission",
    "OOM": "out_of_memory",
    "MISCONF": "cannot_persist",
    "MASTERDOWN": "primary_down",
}
"""Codes by the start of the answer, for errors that redis-py has no class for in a pipeline."""


def reason_of(error: Exception) -> str:
    """Return the code of an error; "other" for an unexpected one."""
    for prefix, code in PREFIXES.items():
        if str(error).startswith(prefix):
            return code
    return next((code for kind, code in REASONS.items() if isinstance(error, kind)), "other")
