"""The verbs for the stack on this machine, and those by which a project adopts Stackhand; each body is one call."""

from __future__ import annotations

from collections.abc import Sequence

from invoke.context import Context

from stackhand.tasks.verb import task


@task(
    help={
        "engine": "auto, compose or embedded",
        "free-ports": "when a port is taken, move all ports to a free block permanently",
        "copy-data": "copy the database from the other engine; keep the one here as a snapshot",
        "timeout": "seconds for each service to become healthy",
        "json": "one JSON document on stdout",
        "skip-hooks": "do not run the programs in hooks/",
    }
)
def up(
    c: Context,
    engine: str = "auto",
    free_ports: bool = False,
    copy_data: bool = False,
    timeout: float = 120.0,
    json: bool = False,
    skip_hooks: bool = False,
) -> None:
    """Start the stack and wait until every service is healthy."""
    from stackhand.local import verbs as local

    local.up(
        engine=engine, free_ports=free_ports, copy_data=copy_data, timeout=timeout, json=json, skip_hooks=skip_hooks
    )


@task(help={"volumes": "remove the data as well, on both engines", "yes": "do not ask for the stack's name"})
def down(c: Context, volumes: bool = False, yes: bool = False) -> None:
    """Stop the stack and keep its data."""
    from stackhand.local import verbs as local

    local.down(volumes=volumes, yes=yes)


@task(help={"json": "one JSON document on stdout", "watch": "refresh every second; with --json, one document per line"})
def status(c: Context, json: bool = False, watch: bool = False) -> None:
    """Show the state of each service."""
    from stackhand.local import status as module

    module.status(json=json, watch=watch)


@task(
    iterable=["service"],
    help={
        "service": "names; default: all services",
        "follow": "keep showing new lines until Ctrl-C",
        "since": "only newer lines: 10m, 2h, 1d or a time, local unless it has an offset (+01:00)",
        "lines": "maximum per service",
    },
)
def logs(c: Context, service: Sequence[str], follow: bool = False, since: str = "", lines: int = 100) -> None:
    """Show service logs."""
    from stackhand.local import status as module

    module.logs(service, follow=follow, since=since, lines=lines)


@task(iterable=["service"], help={"service": "names; default: all services"})
def restart(c: Context, service: Sequence[str]) -> None:
    """Restart services with the current settings."""
    from stackhand.local import verbs as local

    local.restart(services=service)


@task(
    help={
        "job": "the job, by its name in the Compose file",
        "environment": "run it there, as it was released; default: this machine",
    }
)
def run(c: Context, job: str, environment: str = "") -> None:
    """Run a job once, and show its log and exit code."""
    if environment:
        from stackhand.release.cloud import jobs as released

        released.run(job, environment=environment)
    else:
        from stackhand.local import verbs as local

        local.run(job)


@task(help={"service": "the service whose environment to use"})
def shell(c: Context, service: str) -> None:
    """Open a shell with a service's environment."""
    from stackhand.local import shell as module

    module.shell(service)


@task(iterable=["service"], help={"service": "a name; default: the status page"})
def open(c: Context, service: Sequence[str]) -> None:
    """Open the status page or a service in the browser."""
    from stackhand.local import shell as module

    module.open_page(service)


@task(help={"json": "one JSON document on stdout"})
def doctor(c: Context, json: bool = False) -> None:
    """Diagnose problems with the stack and suggest fixes."""
    from stackhand.local import doctor as module

    module.doctor(json=json)


@task
def support(c: Context) -> None:
    """Create a support bundle; known secrets are redacted."""
    from stackhand.local import support as module

    module.support()


@task(help={"up": "start the stack first"})
def test_project(c: Context, up: bool = False) -> None:
    """Run the project's own tests against the stack."""
    from stackhand.local import testing

    testing.test(up=up)


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
