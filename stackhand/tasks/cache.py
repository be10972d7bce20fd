"""The verbs on the cache."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task


@task
def shell(c: Context) -> None:
    """Talk to the Redis-protocol server; commands on standard input work too."""
    from stackhand.database import cache

    cache.shell()
