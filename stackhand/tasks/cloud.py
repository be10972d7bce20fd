"""The verbs on what runs in an environment, and on the secrets that you give it."""

from __future__ import annotations

from collections.abc import Sequence

from invoke.context import Context

from stackhand.tasks.environment import ENVIRONMENT
from stackhand.tasks.verb import task


@task(help={"environment": ENVIRONMENT, "json": "one JSON document on stdout"})
def status(c: Context, environment: str, json: bool = False) -> None:
    """Show what runs in an environment, and who deployed it."""
    from stackhand.release.cloud import status as module

    module.status(environment=environment, json=json)


@task(
    iterable=["service"],
    help={
        "environment": ENVIRONMENT,
        "service": "names of services or jobs; default: all services",
        "follow": "keep showing new lines until Ctrl-C",
        "since": "only newer lines: 10m, 2h, 1d or a time (see logs); default: one hour",
        "lines": "maximum per service",
    },
)
def logs(
    c: Context, environment: str, service: Sequence[str], follow: bool = False, since: str = "", lines: int = 100
) -> None:
    """Show the logs of an environment's tasks."""
    from stackhand.release.cloud import logs as module

    module.show(service, environment=environment, follow=follow, since=since, lines=lines)


@task(
    name="exec",
    help={
        "environment": ENVIRONMENT,
        "service": "the service; its newest task is used",
        "command": "the command to run",
    },
)
def execute(c: Context, environment: str, service: str, command: str = "sh") -> None:
    """Run a command, by default a shell, in a task."""
    from stackhand.release.cloud import logs as module

    module.execute(environment=environment, service=service, command=command)


@task(help={"environment": ENVIRONMENT, "lines": "maximum", "json": "one JSON document on stdout"})
def releases(c: Context, environment: str, lines: int = 20, json: bool = False) -> None:
    """Show the releases of an environment and their verdicts."""
    from stackhand.release.cloud import status as module

    module.releases(environment=environment, lines=lines, json=json)


@task(help={"environment": ENVIRONMENT, "yes": "do not ask for the environment's name"})
def unlock(c: Context, environment: str, yes: bool = False) -> None:
    """Show who holds an environment's lease, and take it away."""
    from stackhand.release.cloud import status as module

    module.unlock(environment=environment, yes=yes)


@task(help={"environment": ENVIRONMENT, "json": "one JSON document on stdout"})
def snapshots(c: Context, environment: str, json: bool = False) -> None:
    """Show the snapshots of an environment's databases."""
    from stackhand.infrastructure.snapshots import backups as module

    module.show(environment=environment, json=json)


@task(
    help={
        "environment": ENVIRONMENT,
        "database": "its service's name; needed if there are several",
        "at": "an earlier time with its zone, such as 2026-01-31T02:10:00Z",
    }
)
def snapshot(c: Context, environment: str, database: str = "", at: str = "") -> None:
    """Take a snapshot of a database, now or at an earlier time."""
    from stackhand.infrastructure.snapshots import backups as module

    module.take(environment=environment, database=database, at=at)


@task(name="set", help={"environment": ENVIRONMENT, "name": "the variable; its value is read from stdin or a prompt"})
def set_secret(c: Context, environment: str, name: str) -> None:
    """Store the value of a secret that you were given."""
    from stackhand.infrastructure import secret_values as module

    module.set_value(environment=environment, name=name)


@task(name="list", help={"environment": ENVIRONMENT, "json": "one JSON document on stdout"})
def list_secrets(c: Context, environment: str, json: bool = False) -> None:
    """Show an environment's secrets, never their values."""
    from stackhand.infrastructure import secret_values as module

    module.show(environment=environment, json=json)


@task(
    name="unset", help={"environment": ENVIRONMENT, "name": "the variable", "yes": "do not ask for the secret's name"}
)
def unset_secret(c: Context, environment: str, name: str, yes: bool = False) -> None:
    """Delete a secret that you were given."""
    from stackhand.infrastructure import secret_values as module

    module.unset(environment=environment, name=name, yes=yes)
