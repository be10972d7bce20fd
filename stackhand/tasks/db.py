"""The verbs on the database."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task


@task
def migrate(c: Context) -> None:
    """Apply pending migrations."""
    from stackhand.database import verbs as database

    database.migrate()


@task(help={"json": "one JSON document on stdout"})
def status(c: Context, json: bool = False) -> None:
    """Show migrations, size and snapshots."""
    from stackhand.database import verbs as database

    database.status(json=json)


@task
def plan(c: Context) -> None:
    """Show pending migrations."""
    from stackhand.database import verbs as database

    database.plan()


@task
def shell(c: Context) -> None:
    """Open psql; it also reads SQL from standard input."""
    from stackhand.database import verbs as database

    database.shell()


@task(help={"name": "letters and digits; also . _ - inside"})
def snapshot(c: Context, name: str) -> None:
    """Save the current database under a name."""
    from stackhand.database import verbs as database

    database.snapshot(name)


@task(help={"name": "the snapshot's name", "yes": "do not ask for the database's name"})
def restore(c: Context, name: str, yes: bool = False) -> None:
    """Restore a snapshot (takes one of the database first)."""
    from stackhand.database import verbs as database

    database.restore(name, yes=yes)


@task(help={"yes": "do not ask for the database's name"})
def reset(c: Context, yes: bool = False) -> None:
    """Empty and migrate the database (takes a snapshot first)."""
    from stackhand.database import verbs as database

    database.reset(yes=yes)


@task
def seed(c: Context) -> None:
    """Load the example data of seeds/ and keep existing data."""
    from stackhand.database import verbs as database

    database.seed()


@task(help={"incident": "its number on the page", "text": "the note; an empty one removes it"})
def note(c: Context, incident: str, text: str) -> None:
    """Add a note to an incident."""
    from stackhand.database import notes

    notes.note(incident, text)
