"""The verbs on databases and caches."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task

SERVICE = "the database, where there are several"


@task(help={"service": SERVICE})
def migrate(c: Context, service: str | None = None) -> None:
    """Apply pending migrations."""
    from stackhand.database import verbs as database

    database.migrate(service=service)


@task(help={"service": SERVICE, "json": "one JSON document on stdout"})
def status(c: Context, json: bool = False, service: str | None = None) -> None:
    """Show migrations, size and snapshots."""
    from stackhand.database import verbs as database

    database.status(service=service, json=json)


@task(help={"service": SERVICE})
def plan(c: Context, service: str | None = None) -> None:
    """Show pending migrations."""
    from stackhand.database import verbs as database

    database.plan(service=service)


@task(help={"service": SERVICE})
def shell(c: Context, service: str | None = None) -> None:
    """Open the database's client, such as psql; it also reads standard input."""
    from stackhand.database import verbs as database

    database.shell(service=service)


@task(help={"service": SERVICE, "name": "letters and digits; also . _ - inside"})
def snapshot(c: Context, name: str, service: str | None = None) -> None:
    """Save the current database under a name."""
    from stackhand.database import verbs as database

    database.snapshot(name, service=service)


@task(help={"service": SERVICE, "name": "the snapshot's name", "yes": "do not ask for the database's name"})
def restore(c: Context, name: str, yes: bool = False, service: str | None = None) -> None:
    """Restore a snapshot (takes one of the database first)."""
    from stackhand.database import verbs as database

    database.restore(name, service=service, yes=yes)


@task(help={"service": SERVICE, "yes": "do not ask for the database's name"})
def reset(c: Context, yes: bool = False, service: str | None = None) -> None:
    """Empty and migrate the database (takes a snapshot first)."""
    from stackhand.database import verbs as database

    database.reset(service=service, yes=yes)


@task(help={"service": SERVICE})
def seed(c: Context, service: str | None = None) -> None:
    """Load the example data of seeds/ and keep existing data."""
    from stackhand.database import verbs as database

    database.seed(service=service)


@task(help={"service": SERVICE, "incident": "its number on the page", "text": "the note; an empty one removes it"})
def note(c: Context, incident: str, text: str, service: str | None = None) -> None:
    """Add a note to an incident."""
    from stackhand.database import verbs as database

    database.note(incident, text, service=service)


@task(name="shell", help={"service": "the cache, where there are several"})
def cache_shell(c: Context, service: str | None = None) -> None:
    """Open a Redis client; it also reads standard input."""
    from stackhand.database import cache

    cache.shell(service=service)
