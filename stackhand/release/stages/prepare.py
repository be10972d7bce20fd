"""A release before anything of it runs: its task definitions, its secrets' versions, its migrations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial

import msgspec

from stackhand.aws import session
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.release import manifest as manifests
from stackhand.release.context import Context
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.ecs.states import ABSENT, ServiceState
from stackhand.release.ecs.task_definitions import differences, image_of, registered, render, render_job, running
from stackhand.release.images import provenance
from stackhand.release.manifest import KnownMigration, Manifest, ReleasedService, ScheduledJob
from stackhand.release.stages import schedule
from stackhand.release.target import Definition, ServiceTarget, Target, target_of
from stackhand.release.verdict import COMPLETED


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
    schedules = {name: job.schedule for name, job in target.jobs.items() if job.schedule}
    current = context.releases.current() if schedules else None
    for name, each in schedules.items():
        wanted, state = render_job(name, target, digests), schedule.ask(context, each)
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
    image = image_of(wanted, container)
    old = primary.task_definition if primary else ""
    if primary and not differences(running(context.ecs, old), wanted):
        return ReleasedService(old, image, same=primary.rollout == COMPLETED, previous=old)
    return ReleasedService(registered(context, wanted), image, previous=old)
