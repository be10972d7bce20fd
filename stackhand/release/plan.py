"""What a release of this commit would change: nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stackhand.aws.errors import code_of
from stackhand.cli import console
from stackhand.cli.failure import Failure
from stackhand.infrastructure.interfaces import InterfaceUse
from stackhand.infrastructure.plan import SHOWN, PlanDocument
from stackhand.infrastructure.services.existing import ExistingResource
from stackhand.project.stack.probes import ProbeReport
from stackhand.release import target
from stackhand.release.checkout import source
from stackhand.release.cloud import status
from stackhand.release.context import Context
from stackhand.release.ecs import task_definitions
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.ecs.types import ABSENT, ServiceState
from stackhand.release.images import build, registry
from stackhand.release.manifest import KnownMigration, Manifest
from stackhand.release.target import ServiceTarget, Target, target_of

UNBUILT = "(still to be built)"
UNKNOWN = "migrations: not known: no command lists them (x-aws.release.list)"


class Differences(msgspec.Struct, frozen=True):
    """What would change in a service or a job: the task definition that runs, and a sentence for each change."""

    running: str | None
    changes: list[str]


class PendingMigration(msgspec.Struct, frozen=True):
    """A migration that no release has."""

    name: str
    breaking: bool


class ReleasePlan(msgspec.Struct, frozen=True):
    """The `release` of `plan --json` (docs/output.md).

    Args:
        running: the commit of what runs.
        migrations: None when no command lists them.
        drift: how what runs differs from what was released.
    """

    commit: str
    running: str | None
    changed: bool
    services: dict[str, Differences] = {}
    jobs: dict[str, Differences] = {}
    migrations: list[PendingMigration] | None = []
    drift: list[str] = []


class ShownCost(msgspec.Struct, frozen=True):
    """What is shown of the cost."""

    summary: str = ""


class PlanReport(msgspec.Struct, frozen=True):
    """What is shown of the document of `plan --json`; the whole of it is for programs."""

    environment: str
    plan: PlanDocument
    release: ReleasePlan
    probe: ProbeReport
    table: list[list[str]] = []
    cost: ShownCost = ShownCost()
    existing: list[ExistingResource] = []
    interfaces: InterfaceUse | None = None


def plan(context: Context, output: Mapping[str, Any], migrations: list[KnownMigration] | None) -> ReleasePlan:
    """Return the `release` of `plan --json` (docs/output.md).

    Args:
        context: where.
        output: Terraform's, as it would be; when it cannot be known, that of the newest release.
        migrations: that this commit has; None when no command lists them.
    """
    current = context.releases.current() if _bucket(context) else None
    where = _target(output) or (target_of(current) if current else None)
    commit, before = _commit(), current.commit if current else None
    if where is None:
        return ReleasePlan(commit, before, changed=True)
    running = _running(context, where)
    services = {
        name: _service(context, name, each, running.get(each.service, ABSENT), commit)
        for name, each in where.services.items()
    }
    scheduled = [name for name, each in where.jobs.items() if each.schedule]
    jobs = {name: _job(context, name, where, current, commit) for name in scheduled}
    pending = _pending(where, migrations, current)
    return ReleasePlan(
        commit,
        before,
        changed=any(each.changes for each in (*services.values(), *jobs.values())) or bool(pending),
        services=services,
        jobs=jobs,
        migrations=None if pending is None else [PendingMigration(each.name, each.breaking) for each in pending],
        drift=status.drift(where, current, running) if current else [],
    )


def lines(report: ReleasePlan) -> list[str]:
    """Return it as people read it."""
    parts = [*report.services.items(), *report.jobs.items()]
    output = [f"{name}: {change}" for name, each in parts for change in each.changes]
    output += [
        f"migration: {each.name}{' (breaking: no rollback past it)' if each.breaking else ''}"
        for each in report.migrations or []
    ]
    if output and report.migrations is None:
        output.append(UNKNOWN)
    output += [f"differs: {line}" for line in report.drift]
    if not output:
        # Changed, and no service: Terraform is yet to make where they would run.
        what = "is the first release" if report.changed else "already runs in this form: no changes"
        return [f"{report.commit[:12]} {what}"]
    return [f"a release of {report.commit[:12]} over {(report.running or 'nothing')[:12]}:", *output]


def _service(context: Context, name: str, service: ServiceTarget, state: ServiceState, commit: str) -> Differences:
    """Return what would change in one service; nothing, when it runs already what would be released."""
    wanted = task_definitions.render(name, service, _digests(context, name, service, commit))
    return _changes(context, state.primary.task_definition if state.primary else None, wanted)


def _job(context: Context, name: str, where: Target, current: Manifest | None, commit: str) -> Differences:
    """Return what would change in a job that a schedule starts."""
    owner = where.jobs[name].image_of
    digests = _digests(context, owner, where.services[owner], commit) if owner else {}
    last = current.scheduled.get(name) if current else None
    return _changes(context, last.task_definition if last else None, task_definitions.render_job(name, where, digests))


def _digests(context: Context, name: str, service: ServiceTarget, commit: str) -> dict[str, str]:
    return {name: registry.digest_of(context.environment, service, commit) or "sha256:" + UNBUILT}


def _changes(context: Context, running: str | None, wanted: Mapping[str, Any]) -> Differences:
    if running is None:
        return Differences(None, ["is new"])
    changes: Sequence[str] = task_definitions.differences(task_definitions.running(context.ecs, running), wanted)
    return Differences(running, [each.replace("sha256:(", "(") for each in changes])


def _target(output: Mapping[str, Any]) -> Target | None:
    """Return where a release would go; nothing as long as Terraform does not know it all."""
    try:
        return target.parse(output)
    except Failure:
        return None


def _running(context: Context, where: Target) -> dict[str, ServiceState]:
    """Return the services by their names in ECS; none before there is a cluster."""
    try:
        return Cluster(context.ecs, where.cluster).services(each.service for each in where.services.values())
    except Exception as error:
        if code_of(error) == "ClusterNotFoundException":
            return {}
        raise


def _pending(
    where: Target, known: list[KnownMigration] | None, current: Manifest | None
) -> list[KnownMigration] | None:
    """Return the migrations that no release has; None when a tool applies them that does not list them.

    That tool is not run to be asked: what it does then is for it to decide.
    """
    if known is None:
        return None if where.jobs or any(each.migrate for each in where.services.values()) else []
    applied = {each.number for each in current.migrations} if current else set()
    return [each for each in known if each.number not in applied]


def _commit() -> str:
    """Return the commit of this checkout, marked when files differ from it; a plan may be made without any."""
    try:
        return source.choose(tag="", dirty=True, folders=build.sources()).commit
    except Failure:
        return "unknown"


def _bucket(context: Context) -> bool:
    """Whether the environment has its bucket already."""
    try:
        context.store.keys("releases/")
    except Failure:
        return False
    return True


HEADINGS = ("concern", *SHOWN)


SHOWN_ATTRIBUTES = 6


def show_plan(report: PlanReport) -> None:
    """Show what a deploy would change, in the environment and in the release."""
    _show_infrastructure(report)
    if report.existing:
        console.write(f"existing, and never changed: {', '.join(each.line() for each in report.existing)}")
    if report.interfaces:
        console.write(report.interfaces.message())
    console.write("\n".join([report.probe.message, *report.probe.notes]))
    console.write("\n".join(["", *lines(report.release)]))


def _show_infrastructure(report: PlanReport) -> None:
    plan = report.plan
    if not plan.changed:
        console.write(f"\n{report.environment} is up to date.")
        return
    console.write("")
    console.table(report.table, HEADINGS, {}, indent=2)
    for each in plan.resources():
        if each.action != "create":
            attributes = ", ".join(each.attributes[:SHOWN_ATTRIBUTES])
            more = " ..." if len(each.attributes) > SHOWN_ATTRIBUTES else ""
            console.write(f"  {each.action:<8} {each.address}{': ' if attributes else ''}{attributes}{more}")
    forgotten = sum(each.action == "forget" for each in plan.resources())
    counted = {**plan.counts(), "forget": forgotten}
    numbers = (f"{number} to {name}" for name, number in counted.items() if number)
    console.write(f"\n{report.environment}: {', '.join(numbers) or 'only outputs change'}; {report.cost.summary}")
