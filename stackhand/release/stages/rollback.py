"""A release that brings an earlier one back: the same task definitions, a new entry in the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec

from stackhand.aws.errors import diagnose, expired, message_of, transient
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.release import manifest as manifests
from stackhand.release.context import Context
from stackhand.release.ecs import cluster as clusters
from stackhand.release.ecs import rollout as rollouts
from stackhand.release.ecs import states
from stackhand.release.ecs.rollout import Rollout
from stackhand.release.ecs.states import Inventory
from stackhand.release.ecs.task_definitions import active
from stackhand.release.images import provenance, signature
from stackhand.release.manifest import Manifest, ReleasedService, ScheduledJob
from stackhand.release.stages import rollback_plan, schedule
from stackhand.release.stages.migration import require_rollback_path
from stackhand.release.stages.probe import ReleaseProbe
from stackhand.release.stages.rollback_plan import Plan
from stackhand.release.target import ServiceTarget, short, target_of
from stackhand.release.verdict import COMPLETED, IN_PROGRESS, Deployment, DeploymentRequest, Verdict


def prepare(context: Context, good: Manifest, *, unsigned: bool = False) -> Manifest:
    """Return the release that brings a good one back.

    Args:
        context: where.
        good: the release.
        unsigned: let images run that have no signature.

    Raises:
        Failure: it was never good, does not work with the current schema, lacks something, or is not signed.
    """
    _require_good(context, good)
    require_rollback_path(context.releases, good)
    target = target_of(good)
    inventory = clusters.inventory_of(context, target)
    running = {name: inventory.primary(target.services[name].service) for name in good.services}
    same = [name for name, part in good.services.items() if _runs(part, running[name])]
    _require_services(context, good, inventory)
    changing = [name for name in good.services if name not in same]
    _require_pullable(context, good, changing)
    _require_signed(context, good, unsigned=unsigned)
    parts = {name: _part(context, part, running[name], same=name in same) for name, part in good.services.items()}
    extra = inventory.others(target)
    for line in [*extra_services(good, extra), inventory.note]:
        if line:
            context.note(line)
    return _again(good, parts, extra).but(scheduled=_scheduled(context, good))


def _scheduled(context: Context, good: Manifest) -> dict[str, ScheduledJob]:
    """Return the jobs that schedules start again; one whose schedule is gone stays away, and is noted."""
    jobs, target = {}, target_of(good)
    for name, part in good.scheduled.items():
        wanted = target.jobs[name].schedule
        state = schedule.ask(context, wanted) if wanted else schedule.ScheduleState({})
        if not state.exists:
            context.note(f"{name}: it has no schedule any more, so nothing starts it")
            continue
        definition = context.retry(partial(active, context.ecs, part.task_definition))
        jobs[name] = ScheduledJob(definition, same=state.released == definition, previous=state.definition)
    return jobs


def extra_services(good: Manifest, extra: dict[str, str]) -> list[str]:
    """Return a line for each service of the cluster that a release does not have."""
    commit = good.commit[:12]
    return [f"{name}: {commit} does not have it; it stays on {short(each)}" for name, each in extra.items()]


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
    problems, notes = rollback_plan.check(context, good, names)
    problems += rollback_plan.definitions(context, good)
    if problems:
        raise _lacks(context, good, problems)
    for note in notes:
        context.note(note)


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


def _lacks(context: Context, good: Manifest, lines: Sequence[str]) -> Failure:
    name = context.environment.name
    return Failure(
        f"{good.commit[:12]} cannot run in {name} again: something it needs no longer exists; nothing was changed.",
        evidence=lines,
        next=f"git checkout {good.commit[:12]}, then ./inv deploy -e {name} --allow-older creates it again",
        code=ExitCode.PREFLIGHT,
    )


def _runs(part: ReleasedService, primary: Deployment | None) -> bool:
    return bool(primary and primary.task_definition == part.task_definition and primary.rollout == COMPLETED)


def _part(context: Context, part: ReleasedService, primary: Deployment | None, *, same: bool) -> ReleasedService:
    wanted = part.task_definition if same else context.retry(lambda: active(context.ecs, part.task_definition))
    return ReleasedService(wanted, part.image, same=same, previous=primary.task_definition if primary else "")


def _again(good: Manifest, parts: dict[str, ReleasedService], extra: dict[str, str]) -> Manifest:
    return msgspec.structs.replace(
        good,
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
    )


@dataclass(frozen=True)
class RollbackOutcome:
    """How the rollback ended.

    Args:
        verdict: rolled back; failed; or still rolling.
        message: the same, for a sentence.
        lines: what there is to know besides.
        extra: services that the last good release does not have, and the task definition each is left on.
    """

    verdict: Verdict
    message: str
    lines: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)


def roll_back(context: Context, manifest: Manifest, good: Manifest | None) -> RollbackOutcome:
    """Return all services of a release to the last known good one; none of them when one cannot return.

    Raises:
        Interrupted: we are to stop.
    """
    from stackhand.aws.exceptions import BotoCoreError, ClientError

    if good is None:
        left = {name: part.task_definition for name, part in manifest.services.items()}
        return RollbackOutcome(Verdict.FAILED, "there is no earlier release to roll back to", _left(left), left)
    plan = Plan()
    try:
        context.require_lease()
        require_rollback_path(context.releases, good, manifest)
        plan = rollback_plan.plan(context, manifest, good)
        if plan.problems:
            return _refused(manifest, good, plan)
        outcome = _request(context, manifest, good, plan)
    except Failure as failure:
        outcome = RollbackOutcome(Verdict.FAILED, f"no rollback: {failure.what}", list(failure.evidence))
    except (BotoCoreError, ClientError) as error:
        if expired(error) or transient(error):
            outcome = _cut_off(context.environment.name, error)
        else:
            outcome = RollbackOutcome(Verdict.FAILED, "AWS refused the rollback", [message_of(error)])
    return replace(outcome, lines=[*outcome.lines, *plan.lines], extra=plan.extra)


def _cut_off(name: str, error: Exception) -> RollbackOutcome:
    """Return what a rollback comes to that AWS does not answer: what ECS took of it goes on, and nobody can see it."""
    diagnosis = diagnose(error)
    lines = [*diagnosis.evidence, f"{diagnosis.remedy}, then ./inv rollback -e {name}"]
    return RollbackOutcome(Verdict.STILL_ROLLING, f"the rollback was interrupted: {diagnosis.sentence}", lines)


def _refused(manifest: Manifest, good: Manifest, plan: Plan) -> RollbackOutcome:
    """Say why nothing goes back, and what each service is left on."""
    left = {name: part.task_definition for name, part in manifest.services.items()}
    lines = [*plan.problems, *_left(left)]
    makes = (
        f"git checkout {good.commit[:12]}, then ./inv deploy -e {manifest.environment} --allow-older, creates it again"
    )
    extra = {name: each for name, each in left.items() if name not in good.services}
    return RollbackOutcome(Verdict.FAILED, f"no rollback: {plan.problems[0]}", [*lines, makes], extra)


def _left(definitions: dict[str, str]) -> list[str]:
    stays = "it stays as updated, unless ECS itself rolls it back"
    return [f"{name}: {short(each)}: {stays}" for name, each in definitions.items()]


def _request(context: Context, manifest: Manifest, good: Manifest, plan: Plan) -> RollbackOutcome:
    """Request the planned deployments, and wait for them."""
    context.note(f"rolling all services back to {good.commit[:12]}")
    target = target_of(manifest)
    rollout, unchanged = rollouts.Rollout(context, target), [*plan.unchanged]
    rollout.networks = rollouts.networks(target_of(good))  # with its ports, which those that failed may have changed
    for name, definition in plan.deployments.items():
        if _superseded(context, manifest, name, definition):
            unchanged.append(name)
        else:
            _return_service(context, rollout, name, target.services[name], definition)
    verdict = rollout.wait() if rollout.rolling else Verdict.DEPLOYED
    return _judge(context, good, verdict, [each.summary() for each in rollout.rolling.values()], unchanged)


def _judge(
    context: Context, good: Manifest, verdict: Verdict, args: list[str], unchanged: list[str]
) -> RollbackOutcome:
    """Say how the rollback ended, from the verdict on its rollout and a probe."""
    name = good.commit[:12]
    if verdict is Verdict.STILL_ROLLING:
        return RollbackOutcome(verdict, f"the services are still rolling back to {name}", args)
    if verdict is not Verdict.DEPLOYED:
        return RollbackOutcome(Verdict.FAILED, f"the rollback to {name} failed too", args)
    problems = probe_of(context, good).run(context.clock, context.notify)
    if problems:
        return RollbackOutcome(Verdict.FAILED, f"{name} runs again, but is unhealthy", problems)
    where = f"except {', '.join(unchanged)}" if unchanged else "everywhere"
    return RollbackOutcome(Verdict.ROLLED_BACK, f"{name} runs again {where}")


def probe_of(context: Context, manifest: Manifest) -> ReleaseProbe:
    """Return the probe that a release has to pass."""
    pace = context.pace
    target = target_of(manifest)
    return ReleaseProbe(
        target.url.rstrip("/"),
        manifest.commit,
        target.questions(),
        times=pace.probes,
        cap=pace.cap,
        timeout=pace.probe_timeout,
    )


def _superseded(context: Context, manifest: Manifest, name: str, wanted: str) -> bool:
    """Whether somebody else has deployed a service meanwhile: then it is theirs, and stays as it is."""
    target, part = target_of(manifest), manifest.services[name]
    primary = clusters.of(context, target).service(target.services[name].service).primary
    ours = {wanted, part.task_definition, part.previous, *(definition for _, definition in part.before)}
    if primary is None or primary.task_definition in ours:
        return False
    context.note(f"{name} is unchanged: somebody else rolls out {short(primary.task_definition)}")
    return True


def _return_service(context: Context, rollout: Rollout, name: str, service: ServiceTarget, wanted: str) -> None:
    """Have one service return, unless ECS has had it do so already."""
    primary = rollout.ask(service.service).primary
    if primary and primary.task_definition == wanted and primary.rollout == COMPLETED:
        return
    if primary and primary.task_definition == wanted and primary.rollout == IN_PROGRESS:
        request = DeploymentRequest(primary.id, wanted, returns=False, timeout=context.pace.timeout)
        rollout.follow(name, service.service, request)
        return
    rollout.update(name, service.service, context.retry(lambda: active(context.ecs, wanted)))
