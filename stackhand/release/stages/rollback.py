"""The rollback of a release that failed: what goes where, decided before any update, and the updates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from stackhand.aws.errors import diagnose, expired, message_of, transient
from stackhand.aws.waiting import Interrupted
from stackhand.cli.failure import Failure
from stackhand.infrastructure import signing_key
from stackhand.release.context import Context
from stackhand.release.ecs import cluster, states, task_definitions
from stackhand.release.ecs.rollout import Rollout
from stackhand.release.ecs.states import Inventory
from stackhand.release.images import provenance, registry, signature
from stackhand.release.manifest import Manifest
from stackhand.release.stages import report
from stackhand.release.stages.known_migrations import require_rollback_path
from stackhand.release.stages.probe import probe_of
from stackhand.release.target import short, target_of
from stackhand.release.verdict import COMPLETED, IN_PROGRESS, DeploymentRequest, Verdict


def fail_and_roll_back(
    context: Context, manifest: Manifest, good: Manifest | None, what: str, lines: list[str]
) -> Failure:
    """Return everything to the last known good release, and return the failure of the whole."""
    try:
        outcome = roll_back(context, manifest, good)
    except Interrupted:
        outcome = RollbackOutcome(Verdict.STILL_ROLLING, "interrupted during the rollback")
    verdict = outcome.verdict
    try:
        context.releases.write(manifest.but(extra=outcome.extra).judged(verdict, what))
    except Failure as error:
        lines = [*lines, f"the verdict could not be recorded: {error.what}"]
    everything = [*lines, *outcome.lines]
    path = report.keep(manifest.id, [f"{manifest.id}: {verdict}", *everything])
    name = context.environment.name
    return Failure(
        f"Deploy of {manifest.commit[:12]} to {name} failed: {what}; {outcome.message}.",
        evidence=[*everything, f"this report: {path}"],
        next=f"./inv cloud.logs -e {name}; fix it, then ./inv deploy -e {name}",
        code=report.CODES[verdict],
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
    planned = Plan()
    try:
        context.require_lease()
        require_rollback_path(context.releases, good, manifest)
        planned = plan(context, manifest, good)
        if planned.problems:
            return _refused(manifest, good, planned)
        outcome = _request(context, manifest, good, planned)
    except Failure as failure:
        outcome = RollbackOutcome(Verdict.FAILED, f"no rollback: {failure.what}", list(failure.evidence))
    except (BotoCoreError, ClientError) as error:
        if expired(error) or transient(error):
            outcome = _cut_off(context.environment.name, error)
        else:
            outcome = RollbackOutcome(Verdict.FAILED, "AWS refused the rollback", [message_of(error)])
    return replace(outcome, lines=[*outcome.lines, *planned.lines], extra=planned.extra)


def _cut_off(name: str, error: Exception) -> RollbackOutcome:
    """Return what a rollback comes to that AWS does not answer: what ECS took of it goes on, and nobody can see it."""
    diagnosis = diagnose(error)
    lines = [*diagnosis.evidence, f"{diagnosis.remedy}, then ./inv rollback -e {name}"]
    return RollbackOutcome(Verdict.STILL_ROLLING, f"the rollback was interrupted: {diagnosis.sentence}", lines)


def _refused(manifest: Manifest, good: Manifest, plan: Plan) -> RollbackOutcome:
    """Say why nothing goes back, and what each service is left on."""
    left = {name: part.task_definition for name, part in manifest.services.items()}
    lines = [*plan.problems, *_left(left)]
    deploy = f"./inv deploy -e {manifest.environment} --allow-older"
    lines.append(f"git checkout {good.commit[:12]}, then {deploy}, creates it again")
    extra = {name: each for name, each in left.items() if name not in good.services}
    return RollbackOutcome(Verdict.FAILED, f"no rollback: {plan.problems[0]}", lines, extra)


def _left(definitions: dict[str, str]) -> list[str]:
    stays = "it stays as updated, unless ECS itself rolls it back"
    return [f"{name}: {short(each)}: {stays}" for name, each in definitions.items()]


def _request(context: Context, manifest: Manifest, good: Manifest, plan: Plan) -> RollbackOutcome:
    """Request the planned deployments, and wait for them."""
    context.note(f"rolling all services back to {good.commit[:12]}")
    # With the ports of the good release, which those that failed may have changed.
    rollout, unchanged = Rollout(context, target_of(manifest), ports=target_of(good)), [*plan.unchanged]
    for name, definition in plan.deployments.items():
        if _superseded(context, manifest, name, definition):
            unchanged.append(name)
        else:
            _return_service(context, rollout, name, definition)
    verdict = rollout.wait() if rollout.rolling else Verdict.DEPLOYED
    return _judge(context, good, verdict, [each.summary() for each in rollout.rolling.values()], unchanged)


def _judge(
    context: Context, good: Manifest, verdict: Verdict, lines: list[str], unchanged: list[str]
) -> RollbackOutcome:
    """Say how the rollback ended, from the verdict on its rollout and a probe."""
    name = good.commit[:12]
    if verdict is Verdict.STILL_ROLLING:
        return RollbackOutcome(verdict, f"the services are still rolling back to {name}", lines)
    if verdict is not Verdict.DEPLOYED:
        return RollbackOutcome(Verdict.FAILED, f"the rollback to {name} failed too", lines)
    problems = probe_of(context, good).run(context.clock, context.notify)
    if problems:
        return RollbackOutcome(Verdict.FAILED, f"{name} runs again, but is unhealthy", problems)
    where = f"except {', '.join(unchanged)}" if unchanged else "everywhere"
    return RollbackOutcome(Verdict.ROLLED_BACK, f"{name} runs again {where}")


def _superseded(context: Context, manifest: Manifest, name: str, wanted: str) -> bool:
    """Whether somebody else has deployed a service meanwhile: then it is theirs, and stays as it is."""
    target, part = target_of(manifest), manifest.services[name]
    primary = cluster.of(context, target).service(target.services[name].service).primary
    ours = {wanted, part.task_definition, part.previous, *(definition for _, definition in part.before)}
    if primary is None or primary.task_definition in ours:
        return False
    context.note(f"{name} is unchanged: somebody else rolls out {short(primary.task_definition)}")
    return True


def _return_service(context: Context, rollout: Rollout, name: str, wanted: str) -> None:
    """Have one service return, unless ECS has had it do so already."""
    primary = rollout.ask(name).primary
    if primary and primary.task_definition == wanted and primary.rollout == COMPLETED:
        return
    if primary and primary.task_definition == wanted and primary.rollout == IN_PROGRESS:
        request = DeploymentRequest(primary.id, wanted, returns=False, timeout=context.timing.timeout)
        rollout.follow(name, request)
        return
    rollout.update(name, context.retry(lambda: task_definitions.active(context.ecs, wanted)))


@dataclass
class Plan:
    """What goes where.

    Args:
        deployments: the task definition that each service of the failed release goes to.
        problems: why nothing can go back.
        extra: services that the good release does not have, and the task definition each ends on.
        unchanged: services of the good release that stay on something else, for the failed one does not have them.
        lines: what else there is to report.
    """

    deployments: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def plan(context: Context, manifest: Manifest, good: Manifest) -> Plan:
    """Decide what goes where: the good release's services to its definitions, others to what they ran before."""
    plan, inventory = Plan(), cluster.inventory_of(context, target_of(manifest), target_of(good))
    _plan_good(context, plan, inventory, manifest, good)
    for name in manifest.services:
        if name not in good.services:
            _plan_added(context, plan, manifest, good, name)
    others = inventory.others(target_of(manifest), target_of(good))
    plan.extra |= others
    plan.lines += extra_services(good, others)
    if not plan.problems:
        _plan_signed(context, plan, inventory, manifest, good)
    idle = inventory.idle(target_of(good))
    plan.lines += states.wanting_none(context.environment, target_of(good), idle)
    plan.lines += [inventory.note] * bool(inventory.note)
    return plan


def extra_services(good: Manifest, extra: dict[str, str]) -> list[str]:
    """Return a line for each service of the cluster that a release does not have."""
    commit = good.commit[:12]
    return [f"{name}: {commit} does not have it; it stays on {short(each)}" for name, each in extra.items()]


def _plan_good(context: Context, plan: Plan, inventory: Inventory, manifest: Manifest, good: Manifest) -> None:
    """Plan for the services of the good release: each must exist, and must be able to start."""
    target, checked = target_of(good), []
    for name, part in good.services.items():
        primary = inventory.primary(target.services[name].service)
        if primary is None:
            plan.problems.append(f"{name}: the cluster {target.cluster} no longer has the service")
        elif name in manifest.services:
            plan.deployments[name] = part.task_definition
            checked += [name] * (primary.task_definition != part.task_definition)
        elif primary.task_definition != part.task_definition:
            plan.unchanged.append(name)
            plan.lines.append(f"{name}: {manifest.commit[:12]} does not have it; it stays unchanged")
    problems, notes = check(context, good, checked)
    plan.problems += problems
    plan.lines += notes


def _plan_added(context: Context, plan: Plan, manifest: Manifest, good: Manifest, name: str) -> None:
    """Plan for a service that the good release does not have: it goes back to what it ran before, as ECS would do."""
    before, ours = _before(context, manifest, good, name), manifest.services[name].task_definition
    plan.deployments[name] = plan.extra[name] = before
    how = "it stays on" if before == ours else "it returns to what it ran before,"
    plan.lines.append(f"{name}: {good.commit[:12]} does not have it; {how} {short(before)}")


def _plan_signed(context: Context, plan: Plan, inventory: Inventory, manifest: Manifest, good: Manifest) -> None:
    """Refuse task definitions whose images are not signed; what a service ran before this release may run again."""
    if signing_key.pinned(context.environment) is None:
        return
    fresh = {name: arn for name, arn in plan.deployments.items() if arn not in _ran(context, inventory, manifest, name)}
    images = provenance.of_definitions(context, fresh, good.commit, manifest.commit)
    checked = signature.check(context.environment, images)
    plan.problems += checked.evidence()
    plan.lines += checked.notes


def _ran(context: Context, inventory: Inventory, manifest: Manifest, name: str) -> set[str]:
    """Return the task definitions that a service is known to have run, by ECS: the bucket could name any."""
    state = inventory.services.get(target_of(manifest).services[name].service, states.ABSENT)
    previous = set() if context.resumes else {manifest.services[name].previous}
    return previous | {each.task_definition for each in state.deployments}


def _before(context: Context, manifest: Manifest, good: Manifest, name: str) -> str:
    """Return what a service ran before this release, and before earlier ones since the last good one."""
    wanted = manifest.services[name].task_definition
    for release in [manifest, *context.releases.newest_first()]:
        if release.id <= good.id:
            break
        part = release.services.get(name)
        if part and part.task_definition == wanted:
            wanted = part.previous or wanted
    return wanted


def check(context: Context, manifest: Manifest, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return what some services of a release lack, and what could not be checked."""
    problems: list[str] = []
    notes: list[str] = []
    services = target_of(manifest).services
    for name in names:
        part = manifest.services[name]
        problem, note = registry.lacks(context, name, services[name], part.image)
        problems += [*task_definitions.lacks(context, name, part.task_definition), *problem]
        notes += note
    return problems, notes
