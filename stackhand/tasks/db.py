"""The verbs on the database."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task


@task
def migrate(c: Context) -> None:
    """Apply the pending migrations."""
    from stackhand.database import verbs as database

    database.migrate()


@task(help={"json": "one JSON document on stdout"})
def status(c: Context, json: bool = False) -> None:
    """Show migrations, size and snapshots."""
    from stackhand.database import verbs as database

    database.status(json=json)


@task
def plan(c: Context) -> None:
    """Show what db.migrate would do."""
    from stackhand.database import verbs as database

    database.plan()


@task
def shell(c: Context) -> None:
    """Open psql; SQL on standard input works too."""
    from stackhand.database import verbs as database

    database.shell()


@task(help={"name": "letters, digits, and . _ - inside it"})
def snapshot(c: Context, name: str) -> None:
    """Keep the database as it is now, under a name."""
    from stackhand.database import verbs as database

    database.snapshot(name)


@task(help={"name": "of the snapshot", "yes": "do not ask for the database's name"})
def restore(c: Context, name: str, yes: bool = False) -> None:
    """Put a snapshot in the place of the database (a snapshot is taken first)."""
    from stackhand.database import verbs as database

    database.restore(name, yes=yes)


@task(help={"yes": "do not ask for the database's name"})
def reset(c: Context, yes: bool = False) -> None:
    """Empty the database and migrate it anew (a snapshot is taken first)."""
    from stackhand.database import verbs as database

    database.reset(yes=yes)


@task
def seed(c: Context) -> None:
    """Load the example data of seeds/; what is there stays."""
    from stackhand.database import verbs as database

    database.seed()


@task(help={"incident": "its number, as the page shows it", "text": "for who reads the page; empty removes it"})
def note(c: Context, incident: str, text: str) -> None:
    """Put a note on an incident."""
    from stackhand.database import notes

    notes.note(incident, text)
