"""The last stages of a release: it answers well from outside, schedules start its jobs, and it is recorded as good.

Terraform owns when a job runs, and a release what, as with a service. A release that fails before has changed no
schedule.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import msgspec

from stackhand.aws.errors import failure, message_of
from stackhand.aws.waiting import Interrupted
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.stack.probes import ProbeReport
from stackhand.release.context import Context
from stackhand.release.ecs import cluster
from stackhand.release.ecs.task_definitions import DISABLED, ENABLED, is_released, set_schedule
from stackhand.release.manifest import Manifest
from stackhand.release.stages.probe import probe_of
from stackhand.release.stages.report import unrecorded, unverified
from stackhand.release.stages.rollback import fail_and_roll_back
from stackhand.release.target import Schedule, short, target_of
from stackhand.release.verdict import Verdict

UNTOUCHED_PAUSE = 0.1
"""Seconds between two checks of what was running already: there is no old task left that could answer in its place."""


def probe(context: Context, manifest: Manifest) -> str:
    """Ask a release through the load balancer, and return what it answered; an unhealthy one is taken back.

    Raises:
        Failure: it does not; the failure says what runs.
    """
    try:
        settings, touched = probe_of(context, manifest), not _runs_already(manifest, context.releases.current())
    except Failure as error:
        raise unrecorded(manifest, error) from error
    if not touched:
        settings = replace(settings, pause=UNTOUCHED_PAUSE)
    try:
        problems = settings.run(context.clock, context.notify)
    except Interrupted:
        raise unverified(manifest) from None
    if not problems:
        for note in settings.questions.notes:
            context.note(note)
        return settings.summary()
    if not touched:
        raise Failure(
            f"{manifest.commit[:12]} was already running and is unhealthy; nothing was changed.",
            evidence=problems,
            next=f"./inv cloud.status -e {manifest.environment}, ./inv cloud.logs -e {manifest.environment}",
            code=ExitCode.UNHEALTHY,
        )
    context.note(f"the probe failed: {problems[0]}")
    try:
        good = context.releases.current()
    except Failure as error:
        raise unrecorded(manifest, error) from error
    idle = _idle(context, manifest)
    what = f"0 tasks desired for {', '.join(idle)}" if idle else "all tasks run, but the probe failed"
    raise fail_and_roll_back(context, manifest, good, what, problems)


def _idle(context: Context, manifest: Manifest) -> list[str]:
    """Return the services that are scaled to 0: they have completed their rollout as well."""
    from stackhand.aws.exceptions import BotoCoreError, ClientError

    target = target_of(manifest)
    try:
        return cluster.inventory_of(context, target).idle(target)
    except (BotoCoreError, ClientError):  # what failed is the probe
        return []


def _runs_already(manifest: Manifest, current: Manifest | None) -> bool:
    """Whether a release is what was deployed already."""
    touched = manifest.ordered or any(each.updated for each in manifest.scheduled.values())
    return bool(current and not touched and current.commit == manifest.commit)


def update_schedules(context: Context, manifest: Manifest) -> Manifest:
    """Have the schedules start the jobs of a release, and return it with those that were changed.

    Raises:
        Failure: one cannot be changed; everything of the release is taken back.
    """
    for name, wanted in _schedules(manifest).items():
        part = manifest.scheduled[name]
        if part.same:
            continue
        try:
            context.require_lease()
            updated = set_schedule(context, wanted, part.task_definition)
        except Failure as error:
            raise unrecorded(manifest, error) from error
        except Interrupted:
            raise unverified(manifest) from None
        except Exception as error:
            context.clock.check()  # an interrupt ends the retries
            raise _taken_back(context, manifest, name, error) from error
        if not updated:
            context.note(f"{name}: there is no schedule {wanted.name}, so nothing starts it")
        changed = msgspec.structs.replace(part, updated=updated)
        manifest = manifest.but(scheduled={**manifest.scheduled, name: changed})
    return manifest


def _schedules(manifest: Manifest) -> dict[str, Schedule]:
    jobs = target_of(manifest).jobs
    return {name: each for name in manifest.scheduled if (each := jobs[name].schedule)}


def _taken_back(context: Context, manifest: Manifest, name: str, error: Exception) -> Failure:
    """Return the schedules that were changed to what they started before, then the services, and say why."""
    for other, each in _schedules(manifest).items():
        part = manifest.scheduled[other]
        if part.updated:
            state = ENABLED if is_released(part.previous) else DISABLED
            with suppress(Exception):  # what is reported is the schedule that could not be changed
                set_schedule(context, each, part.previous, state)
    what = f"the schedule of {name} cannot be changed"
    if not manifest.ordered:
        return failure(f"Deploy of {manifest.commit[:12]} failed: {what}", error)
    return fail_and_roll_back(context, manifest, context.releases.current(), what, [message_of(error)])


def record(context: Context, manifest: Manifest) -> tuple[bool, Manifest]:
    """Record a release as the last known good one, and return whether it is new, and it.

    Raises:
        Failure: the bucket cannot be written; one comes back to the release.
    """
    try:
        current = context.releases.current()
        if current and _runs_already(manifest, current):
            return False, current
        context.require_lease()
        done = manifest.judged(Verdict.DEPLOYED)
        context.releases.make_current(done)
    except Failure as error:
        raise unrecorded(manifest, error) from error
    return True, done


class ReleasedServiceReport(msgspec.Struct, frozen=True):
    """What a service runs, and the deployment that brought it; empty where it ran already."""

    task_definition: str
    image: str
    deployment: str


class JobReport(msgspec.Struct, frozen=True):
    """What a schedule starts."""

    task_definition: str


class ReleaseReport(msgspec.Struct, frozen=True):
    """The document of `deploy --json` and `rollback --json` (docs/output.md)."""

    environment: str
    release: str
    kind: str
    commit: str
    verdict: str
    changed: bool
    url: str
    probe: ProbeReport
    services: dict[str, ReleasedServiceReport]
    jobs: dict[str, JobReport]
    extra: dict[str, str]


def report(manifest: Manifest, *, changed: bool) -> ReleaseReport:
    """Return the report of a release."""
    services = manifest.services.items()
    return ReleaseReport(
        manifest.environment,
        manifest.id,
        manifest.kind,
        manifest.commit,
        manifest.verdict,
        changed,
        target_of(manifest).url,
        target_of(manifest).questions().report(),
        {name: ReleasedServiceReport(each.task_definition, each.image, each.deployment) for name, each in services},
        {name: JobReport(each.task_definition) for name, each in manifest.scheduled.items()},
        manifest.extra,
    )


def show_release(report: ReleaseReport) -> None:
    """Show which release runs, and where it answers."""
    what = "already runs" if not report.changed else "runs again" if report.kind == "rollback" else "is deployed"
    console.write(f"\n{report.commit[:12]} {what} in {report.environment}, at {report.url}")
    for name, each in report.services.items():
        console.write(f"  {name}  {short(each.task_definition)}  {each.image}")
    for name, definition in report.extra.items():
        console.write(f"  {name}  {short(definition)}  unchanged: {report.commit[:12]} does not have it")
