"""The verbs by which a project adopts Stackhand and leaves it again; they are no namespace."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task


@task(
    help={
        "yes": "ask nothing, and take the defaults",
        "json": "one JSON document on stdout; asks nothing",
        "status": "add the status service and its page to the stack",
        "example": "begin with the example stack, in an empty folder",
    }
)
def init(c: Context, yes: bool = False, json: bool = False, status: bool = False, example: bool = False) -> None:
    """Adopt Stackhand in a repository with a Compose file."""
    from stackhand.adoption import init as module

    module.init(yes=yes, json=json, status=status, example=example)


@task(
    help={
        "to": "a version, or the path of a wheel; default: the newest version",
        "dry-run": "show what would be done, and change nothing",
    }
)
def upgrade(c: Context, to: str = "", dry_run: bool = False) -> None:
    """Raise the version of Stackhand that this project runs."""
    from stackhand.adoption import upgrade as module

    module.upgrade(to=to, dry_run=dry_run)


@task(help={"part": "roles, playbooks, terraform or page"})
def eject(c: Context, part: str) -> None:
    """Copy a part of Stackhand into this repository, to change it."""
    from stackhand.adoption import eject as module

    module.eject(part)


@task(help={"yes": "do not ask for the project's name"})
def remove(c: Context, yes: bool = False) -> None:
    """Take Stackhand out of this repository."""
    from stackhand.adoption import remove as module

    module.remove(yes=yes)
