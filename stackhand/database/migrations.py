"""The migrations of the stack's services: applied, and asked about, by the commands that the Compose file names.

What such a command does with a flag that it does not know is anybody's guess, and most migrate. So there is nothing
here that adds one, and a question for which no command is named has no answer.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from stackhand.cli import console
from stackhand.cli.failure import Failure
from stackhand.local.engines.engine import Engine
from stackhand.project.stack.model import Service
from stackhand.project.stack.xfields import MigrationKey

TAIL = 10
ADD = "give it one in the Compose file: docs/architecture.md has x-aws.release"


@dataclass(frozen=True)
class Report:
    """What one of the commands reported.

    Args:
        service: as which it ran.
        command: as the Compose file has it.
        exit_code: of the command.
        output: on stdout.
        errors: on stderr.
    """

    service: str
    command: str
    exit_code: int
    output: str
    errors: str


def apply(engine: Engine, migrating: Sequence[Service]) -> None:
    """Run the migration command of each service that has one.

    Raises:
        Failure: no service has one, or one failed.
    """
    _show(engine, migrating, "command", next="fix the migration, then ./inv db.migrate")


def plan(engine: Engine, migrating: Sequence[Service]) -> None:
    """Show what is pending, by the command of each service that names one for it.

    Raises:
        Failure: none does, or one failed.
    """
    _show(engine, migrating, "plan", next="fix what it reports, then ./inv db.plan")


def status(engine: Engine, migrating: Sequence[Service]) -> tuple[list[Report], list[str]]:
    """Return what the services report of their migrations, and a sentence for each that does not."""
    reports, unknown = [], []
    for service in migrating:
        if not service.migration("status"):
            unknown.append(_unnamed(engine, service, "status"))
            continue
        try:
            reports.append(_run(engine, service, "status"))
        except Failure as failure:  # it does not run; the rest of the answer is known all the same
            unknown.append(failure.what)
    return reports, unknown or ([] if reports else [f"no service of {engine.stack.file} names x-aws.release"])


def _show(engine: Engine, migrating: Sequence[Service], purpose: MigrationKey, *, next: str) -> None:  # noqa: A002 - as in Failure
    if not migrating:
        raise Failure(f"No service in {engine.stack.file} has a migration command (x-aws.release).", next=ADD)
    named = [service for service in migrating if service.migration(purpose)]
    if not named:
        raise Failure(f"The pending migrations are unknown: {_unnamed(engine, migrating[0], purpose)}.", next=ADD)
    for service in named:
        report = _run(engine, service, purpose)
        heading = f"{report.service}: {report.command}" if len(named) > 1 else ""
        for text in filter(None, (heading, report.output)):
            console.write(text)
        if report.exit_code != 0:
            what = f"{report.command} failed with exit code {report.exit_code}."
            raise Failure(what, evidence=report.errors.splitlines()[-TAIL:], next=next)
        if report.errors:
            console.notify(report.errors)
    for service in migrating:
        if service not in named:
            console.write(f"{service.name}: unknown: {_unnamed(engine, service, purpose)}")


def services(engine: Engine) -> list[Service]:
    """Return the services that name a migration command."""
    return [service for service in engine.stack.services.values() if service.migrate]


def _run(engine: Engine, service: Service, purpose: MigrationKey) -> Report:
    command = service.migration(purpose)
    result = engine.run(service, command)
    return Report(service.name, shlex.join(command), result.returncode, result.stdout.strip(), result.stderr.strip())


def _unnamed(engine: Engine, service: Service, purpose: MigrationKey) -> str:
    shows = "pending migrations" if purpose == "plan" else "applied migrations"
    return f"{engine.stack.file} names no command of {service.name} that shows {shows} (x-aws.release.{purpose})"
