"""The verbs on the cache."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task


@task(help={"service": "the cache, where there are several"})
def shell(c: Context, service: str | None = None) -> None:
    """Open a Redis client; it also reads standard input."""
    from stackhand.database import cache

    cache.shell(service=service)
