"""The verbs on the cache."""

from __future__ import annotations

from invoke.context import Context

from stackhand.verb import task


@task
def shell(c: Context) -> None:
    """Talk to the Redis-protocol server; commands on standard input work too."""
    from stackhand import cache

    cache.shell()
