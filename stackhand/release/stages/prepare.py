"""A release before anything of it runs: its task definitions, its secrets' versions, its migrations.

One that brings an earlier one back has the same task definitions, and is a new entry in the history.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from stackhand.aws import session
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.release import manifest as manifests
from stackhand.release.context import Context
from stackhand.release.ecs import states, task_definitions
from stackhand.release.ecs.cluster import Cluster, inventory_of
from stackhand.release.ecs.states import ABSENT, Inventory, ServiceState
from stackhand.release.ecs.task_definitions import active, differences, registered, render, render_job, running
from stackhand.release.images import provenance, signature
from stackhand.release.manifest import KnownMigration, Manifest, ReleasedService, ScheduledJob
from stackhand.release.stages.known_migrations import require_rollback_path
from stackhand.release.stages.rollback import check, extra_services
from stackhand.release.target import Definition, ServiceTarget, Target, target_of
from stackhand.release.verdict import COMPLETED, Deployment


def prepare(
    context: Context, target: Target, digests: Mapping[str, str], commit: str, migrations: list[KnownMigration]
) -> Manifest:
    """Return the release of some images, with its task definitions registered where they differ from what runs.

    Raises:
        Failure: AWS refuses one.
    """
    states = Cluster(context.ecs, target.cluster).services(each.service for each in target.services.values())
    parts, bills, good = {}, provenance.bills(context.store, commit), context.releases.current()
    before = target_of(good).services if good else {}
    _require_protocols(before, target)
    for name, service in target.services.items():
        wanted = render(name, service, digests)
        part = _part(context, states.get(service.service, ABSENT), wanted, service.container)
        if name in before and before[name].connection != service.connection:
            part = msgspec.structs.replace(part, same=False)  # such as another timeout, which is in no definition
        parts[name] = msgspec.structs.replace(part, sbom=bills.get(name, ""))
    secrets = secrets_of(context, target)
    rotated = context.releases.rotated(secrets)  # tasks are replaced on the definitions that they have
    return Manifest(
        id=manifests.new_id(commit),
        environment=context.environment.name,
        commit=commit,
        by=account.owner(),
        run=account.run_url(),
        began=account.timestamp(),
        target=msgspec.to_builtins(target),
        services=parts,
        jobs={
            name: registered(context, render_job(name, target, digests))
            for name, job in target.jobs.items()
            if job.services and (rotated or not all(parts[each].same for each in job.services))
        },
        scheduled=_scheduled(context, target, digests),
        secrets=secrets,
        migrations=migrations,
    )


def _scheduled(context: Context, target: Target, digests: Mapping[str, str]) -> dict[str, ScheduledJob]:
    """Return the jobs that schedules start, with their task definitions registered where they differ."""
    jobs: dict[str, ScheduledJob] = {}
    starting = {name: job.schedule for name, job in target.jobs.items() if job.schedule}
    current = context.releases.current() if starting else None
    for name, each in starting.items():
        wanted, state = render_job(name, target, digests), task_definitions.schedule_of(context, each)
        last = current.scheduled.get(name) if current else None
        old = state.released if state.exists or last is None else last.task_definition
        same = bool(old) and not differences(context.retry(partial(running, context.ecs, old)), wanted)
        definition = old if same else registered(context, wanted)
        jobs[name] = ScheduledJob(definition, same=same and state.exists, previous=state.definition)
    return jobs


def _require_protocols(before: Mapping[str, ServiceTarget], target: Target) -> None:
    """Refuse another protocol between services, which ECS never changes.

    Raises:
        Failure: a service has another one.
    """
    changed = [
        f"{name}: {before[name].protocols[port]} -> {protocol}; x-aws.protocol: {before[name].protocols[port]} keeps it"
        for name, service in target.services.items()
        for port, protocol in service.protocols.items()
        if name in before and before[name].protocols.get(port, protocol) != protocol
    ]
    if changed:
        raise Failure(
            "ECS does not change in which protocol other services speak to a service; nothing was changed.",
            evidence=changed,
            next="set x-aws.protocol as above, or give the service another name, which makes a new one",
            code=ExitCode.PREFLIGHT,
        )


def secrets_of(context: Context, target: Target) -> str:
    """Return a hash over the versions of the secrets that the services read: it changes when one is rotated."""
    names = [*target.parameters()]
    if not names:
        return ""
    versions = session.parameter_versions(context.environment.client("ssm"), names)
    return hashlib.sha256(json.dumps(versions, sort_keys=True).encode()).hexdigest()[:16]


def _part(context: Context, state: ServiceState, wanted: Definition, container: str) -> ReleasedService:
    primary = state.primary
    image = task_definitions.image_of(wanted, container)
    old = primary.task_definition if primary else ""
    if primary and not differences(running(context.ecs, old), wanted):
        return ReleasedService(old, image, same=primary.rollout == COMPLETED, previous=old)
    return ReleasedService(registered(context, wanted), image, previous=old)


def prepare_rollback(context: Context, good: Manifest, *, unsigned: bool = False) -> Manifest:
    """Return the release that brings a good one back, whose images may have no signature if that is meant.

    Raises:
        Failure: it was never good, does not work with the current schema, lacks something, or is not signed.
    """
    _require_good(context, good)
    require_rollback_path(context.releases, good)
    target = target_of(good)
    inventory = inventory_of(context, target)
    _require_services(context, good, inventory)
    running = {name: inventory.primary(target.services[name].service) for name in good.services}
    same = {name for name, part in good.services.items() if _runs(part, running[name])}
    _require_pullable(context, good, [name for name in good.services if name not in same])
    _require_signed(context, good, unsigned=unsigned)
    parts = {name: _part_again(context, part, running[name], same=name in same) for name, part in good.services.items()}
    extra = inventory.others(target)
    for line in [*extra_services(good, extra), *([inventory.note] if inventory.note else [])]:
        context.note(line)
    return good.but(
        id=manifests.new_id(good.commit),
        kind="rollback",
        of=good.of or good.id,
        by=account.owner(),
        run=account.run_url(),
        began=account.timestamp(),
        ended="",
        verdict="",
        reason="",
        rolled=False,
        services=parts,
        extra=extra,
        scheduled=_scheduled_again(context, good),
    )


def _require_good(context: Context, good: Manifest) -> None:
    if not good.good:
        raise Failure(
            f"The release {good.id} was never good: {good.verdict or 'it has no verdict'}.",
            evidence=[good.reason] if good.reason else [],
            next=f"./inv cloud.releases -e {context.environment.name} shows those that were",
            code=ExitCode.USAGE,
        )


def _require_services(context: Context, good: Manifest, inventory: Inventory) -> None:
    """Refuse to return to a release whose services do not exist or run no tasks; all of them return, or none."""
    target = target_of(good)
    if missing := inventory.missing(target):
        others = ", ".join(inventory.services) or "none"
        lines = [f"{name}: the cluster {target.cluster} no longer has the service" for name in missing]
        raise _lacks(context, good, [*lines, f"the cluster has: {others}"])
    definitions = {name: part.task_definition for name, part in good.services.items()}
    states.require_tasks(context, target, inventory, definitions)


def _require_pullable(context: Context, good: Manifest, names: Sequence[str]) -> None:
    problems, notes = check(context, good, names)
    for name, part in good.scheduled.items():
        problems += task_definitions.lacks(context, name, part.task_definition)
    if problems:
        raise _lacks(context, good, problems)
    for note in notes:
        context.note(note)


def _lacks(context: Context, good: Manifest, lines: Sequence[str]) -> Failure:
    name = context.environment.name
    return Failure(
        f"{good.commit[:12]} cannot run in {name} again: something it needs no longer exists; nothing was changed.",
        evidence=lines,
        next=f"git checkout {good.commit[:12]}, then ./inv deploy -e {name} --allow-older creates it again",
        code=ExitCode.PREFLIGHT,
    )


def _require_signed(context: Context, good: Manifest, *, unsigned: bool) -> None:
    """Refuse a release whose images are not signed; an image that its commit did not change may be of the current."""
    again = f"git checkout {good.commit[:12]}, then ./inv deploy -e {context.environment.name} --allow-older"
    current = context.releases.current()
    images = provenance.of_release(context, good, *([current.commit] if current else []))
    checked = signature.check(context.environment, images)
    if checked.wrong:
        raise signature.refusal(context.environment, checked, again)
    if checked.missing and not unsigned:
        older = "or --allow-unsigned, if it is from before images were signed"
        raise signature.refusal(context.environment, checked, f"{again}; {older}")
    for note in [*checked.notes, *(f"{each.service}: its image has no signature" for each in checked.missing)]:
        context.note(note)


def _runs(part: ReleasedService, primary: Deployment | None) -> bool:
    return bool(primary and primary.task_definition == part.task_definition and primary.rollout == COMPLETED)


def _part_again(context: Context, part: ReleasedService, primary: Deployment | None, *, same: bool) -> ReleasedService:
    wanted = part.task_definition if same else context.retry(lambda: active(context.ecs, part.task_definition))
    return ReleasedService(wanted, part.image, same=same, previous=primary.task_definition if primary else "")


def _scheduled_again(context: Context, good: Manifest) -> dict[str, ScheduledJob]:
    """Return the jobs that schedules start again; one whose schedule is gone stays away, and is noted."""
    jobs, target = {}, target_of(good)
    for name, part in good.scheduled.items():
        wanted = target.jobs[name].schedule
        state = task_definitions.schedule_of(context, wanted) if wanted else task_definitions.ScheduleState({})
        if not state.exists:
            context.note(f"{name}: it has no schedule any more, so nothing starts it")
            continue
        definition = context.retry(partial(active, context.ecs, part.task_definition))
        jobs[name] = ScheduledJob(definition, same=state.released == definition, previous=state.definition)
    return jobs
