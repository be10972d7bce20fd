"""The verbs on what runs in the cloud."""

from __future__ import annotations

from collections.abc import Sequence

from invoke.context import Context

from stackhand.tasks.release import ENVIRONMENT
from stackhand.tasks.verb import task


@task(help={"environment": ENVIRONMENT, "json": "one JSON document on stdout"})
def status(c: Context, environment: str, json: bool = False) -> None:
    """Show what runs in an environment, since when and by whom."""
    from stackhand.release import status as module

    module.status(environment=environment, json=json)


@task(
    iterable=["service"],
    help={
        "environment": ENVIRONMENT,
        "service": "names; without any, all services",
        "follow": "go on until Ctrl-C",
        "since": "only what is younger: 10m, 2h, 1d or a time (see logs); an hour without it",
        "lines": "of each service, at most",
    },
)
def logs(
    c: Context, environment: str, service: Sequence[str], follow: bool = False, since: str = "", lines: int = 100
) -> None:
    """Show what the tasks of an environment say."""
    from stackhand.release import logs as module

    module.show(service, environment=environment, follow=follow, since=since, lines=lines)


@task(name="exec", help={"environment": ENVIRONMENT, "service": "in whose newest task", "command": "what to run there"})
def execute(c: Context, environment: str, service: str, command: str = "sh") -> None:
    """Run a command in a task of an environment; a shell without one."""
    from stackhand.release import logs as module

    module.execute(environment=environment, service=service, command=command)


@task(help={"environment": ENVIRONMENT, "lines": "at most", "json": "one JSON document on stdout"})
def releases(c: Context, environment: str, lines: int = 20, json: bool = False) -> None:
    """Show the releases to an environment with their verdicts."""
    from stackhand.release import status as module

    module.releases(environment=environment, lines=lines, json=json)


@task(help={"environment": ENVIRONMENT, "yes": "do not ask for the environment's name"})
def unlock(c: Context, environment: str, yes: bool = False) -> None:
    """Show who deploys to an environment, and take the lease from them."""
    from stackhand.release import status as module

    module.unlock(environment=environment, yes=yes)


@task(help={"environment": ENVIRONMENT, "json": "one JSON document on stdout"})
def snapshots(c: Context, environment: str, json: bool = False) -> None:
    """Show the snapshots of an environment's databases."""
    from stackhand.infrastructure import backups as module

    module.show(environment=environment, json=json)


@task(
    help={
        "environment": ENVIRONMENT,
        "database": "the name of its service, where there are several",
        "at": "as it was then: a time with its zone, such as 2026-01-31T02:10:00Z",
    }
)
def snapshot(c: Context, environment: str, database: str = "", at: str = "") -> None:
    """Take a snapshot of a database, as it is or as it was."""
    from stackhand.infrastructure import backups as module

    module.take(environment=environment, database=database, at=at)
