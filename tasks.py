"""The verbs. Each body is one call: what happens is in stackhand/, playbooks/ and roles/."""

from __future__ import annotations

from collections.abc import Sequence

from invoke.collection import Collection
from invoke.context import Context

from stackhand.tasks import bench, cache, cloud, db, infrastructure, release
from stackhand.tasks.rehearse import rehearse
from stackhand.tasks.verb import task


@task(
    help={
        "engine": "auto, compose or embedded",
        "free-ports": "move all ports to a free block when one is taken, and keep it",
        "copy-data": "copy the database from the other engine; what is here is kept as a snapshot",
        "timeout": "seconds each service has to become healthy",
        "json": "one JSON document on stdout",
    }
)
def up(
    c: Context,
    engine: str = "auto",
    free_ports: bool = False,
    copy_data: bool = False,
    timeout: float = 120.0,
    json: bool = False,
) -> None:
    """Start the stack and wait until every service is healthy."""
    from stackhand.local import verbs as local

    local.up(engine=engine, free_ports=free_ports, copy_data=copy_data, timeout=timeout, json=json)


@task(help={"volumes": "remove the data as well, on both engines", "yes": "do not ask for the stack's name"})
def down(c: Context, volumes: bool = False, yes: bool = False) -> None:
    """Stop the stack; its data stays."""
    from stackhand.local import verbs as local

    local.down(volumes=volumes, yes=yes)


@task(help={"json": "one JSON document on stdout", "watch": "again every second; with --json, one document a line"})
def status(c: Context, json: bool = False, watch: bool = False) -> None:
    """Show how each service is."""
    from stackhand.local import status as module

    module.status(json=json, watch=watch)


@task(
    iterable=["service"],
    help={
        "service": "names; without any, all services",
        "follow": "go on until Ctrl-C",
        "since": "only what is younger: 10m, 2h, 1d or a time, of this machine's zone unless it ends in one (+01:00)",
        "lines": "of each service, at most",
    },
)
def logs(c: Context, service: Sequence[str], follow: bool = False, since: str = "", lines: int = 100) -> None:
    """Show what the services say."""
    from stackhand.local import logs as module

    module.logs(service, follow=follow, since=since, lines=lines)


@task(iterable=["service"], help={"service": "names; without any, all services"})
def restart(c: Context, service: Sequence[str]) -> None:
    """Restart services with the settings of now."""
    from stackhand.local import verbs as local

    local.restart(services=service)


@task(help={"service": "whose environment the shell gets"})
def shell(c: Context, service: str) -> None:
    """Open a shell with a service's environment."""
    from stackhand.local import shell as module

    module.shell(service)


@task(iterable=["service"], help={"service": "a name; without any, the page"})
def open(c: Context, service: Sequence[str]) -> None:
    """Open the page in the browser."""
    from stackhand.local import shell as module

    module.open_page(service)


@task(help={"json": "one JSON document on stdout"})
def doctor(c: Context, json: bool = False) -> None:
    """Look for what could keep the stack from running."""
    from stackhand.local import doctor as module

    module.doctor(json=json)


@task
def support(c: Context) -> None:
    """Write a support bundle; known secrets are redacted."""
    from stackhand.local import support as module

    module.support()


@task(help={"fast": "without the tests that start a whole stack", "only": "an expression for pytest's -k"})
def test(c: Context, fast: bool = False, only: str = "") -> None:
    """Run the tests."""
    from stackhand.development import verbs as development

    development.test(fast=fast, only=only)


@task(
    help={
        "mutation": "instead: change the code, and look whether the tests notice (minutes)",
        "vulnerabilities": "instead: look all packages of the lock files up (needs the network)",
    }
)
def check(c: Context, mutation: bool = False, vulnerabilities: bool = False) -> None:
    """Run the linters."""
    from stackhand.development import verbs as development

    development.check(mutation=mutation, vulnerabilities=vulnerabilities)


@task(help={"upgrade": "take the newest versions that pyproject.toml allows"})
def lock(c: Context, upgrade: bool = False) -> None:
    """Compile pyproject.toml into the lock files."""
    from stackhand.development import verbs as development

    development.lock(upgrade=upgrade)


ns = Collection(up, down, status, logs, restart, shell, open, doctor, support, test, check, lock)
ns.add_collection(db)
ns.add_collection(cache)
ns.add_collection(bench)
ns.add_collection(cloud)
ns.add_task(infrastructure.bootstrap)
ns.add_task(infrastructure.plan)
ns.add_task(infrastructure.destroy)
ns.add_task(release.deploy)
ns.add_task(release.rollback)
ns.add_task(rehearse)
