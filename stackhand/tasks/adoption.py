"""The verbs by which a project adopts Stackhand and leaves it again; they are no namespace."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task


@task(help={"yes": "ask nothing, and take the defaults", "json": "one JSON document on stdout; asks nothing"})
def init(c: Context, yes: bool = False, json: bool = False) -> None:
    """Adopt Stackhand in a repository with a Compose file."""
    from stackhand.adoption import init as module

    module.init(yes=yes, json=json)


@task(help={"yes": "do not ask for the project's name"})
def remove(c: Context, yes: bool = False) -> None:
    """Take Stackhand out of this repository."""
    from stackhand.adoption import remove as module

    module.remove(yes=yes)
