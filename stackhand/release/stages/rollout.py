"""The rollout of a release: its deployment requests, each recorded as soon as ECS has accepted it, and the verdict."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from stackhand.cli.failure import Failure
from stackhand.release.context import Context
from stackhand.release.ecs import cluster, states
from stackhand.release.ecs.rollout import Rolling, Rollout
from stackhand.release.images import provenance, signature
from stackhand.release.manifest import Manifest, ReleasedService
from stackhand.release.stages import report
from stackhand.release.stages.rollback import fail_and_roll_back
from stackhand.release.target import containers, target_of
from stackhand.release.verdict import IN_PROGRESS, DeploymentRequest, Verdict


def roll(context: Context, manifest: Manifest, good: Manifest | None) -> Manifest:
    """Replace the services by those of a release, and wait for the verdict.

    Raises:
        Failure: it is not deployed; the failure says what runs.
    """
    same = all(each.same for each in manifest.services.values())
    if good and good.commit == manifest.commit and same and not _rotated(manifest, good):
        return manifest
    return _roll_out(context, manifest, good)


def resume(context: Context, manifest: Manifest, good: Manifest | None) -> Manifest:
    """Go on with a release that was left rolling: order what was not ordered yet, and wait for all of it.

    Raises:
        Failure: as for `roll`, or an image is not signed.
    """
    _require_tasks(context, manifest)
    images = provenance.of_release(context, manifest)
    for note in signature.require_again(context.environment, images, f"./inv rollback -e {context.environment.name}"):
        context.note(note)
    return _roll_out(context, manifest, good)


def _require_tasks(context: Context, manifest: Manifest) -> None:
    """Refuse services that are scaled to 0; what AWS does not answer is reported by the rollout itself."""
    from stackhand.aws.exceptions import BotoCoreError, ClientError

    target = target_of(manifest)
    with suppress(BotoCoreError, ClientError):
        states.require_tasks(context, target, cluster.inventory_of(context, target))


def _roll_out(context: Context, manifest: Manifest, good: Manifest | None) -> Manifest:
    """Follow what was requested of a release before, request what was not, wait for the verdict, and act on it."""
    rollout, resumed = Rollout(context, target_of(manifest)), manifest.touched
    for name, part in manifest.services.items():
        if part.deployment:
            rollout.follow(name, _request(context, part))
    with report.explained(lambda: manifest, rollout.rolling):
        context.require_lease()
        manifest = manifest.but(rolled=True)
        context.releases.write(manifest)
        for name, force in missing(manifest, good).items():
            part = manifest.services[name]
            rolling = _accepted(context, rollout, name, part) if resumed else None
            rolling = rolling or rollout.update(name, part.task_definition, force=force)
            manifest = manifest.but(services={**manifest.services, name: _with_request(part, rolling)})
            context.releases.write(manifest)
            if rolling.verdict:  # refused, or somebody else's by now: the others stay as they are
                break
        verdict = rollout.wait() if rollout.rolling else Verdict.DEPLOYED
    if verdict is Verdict.DEPLOYED:
        return manifest
    if verdict is Verdict.FAILED:
        ends = {Verdict.FAILED, Verdict.ROLLED_BACK}
        bad = [each for each in rollout.rolling.values() if each.failing or each.verdict in ends]
        raise _failed(context, manifest, good, bad)
    raise report.unresolved(context, manifest, rollout.rolling, verdict)


def missing(manifest: Manifest, good: Manifest | None) -> dict[str, bool]:
    """Return the services that are to be ordered yet, and whether their tasks are replaced on the definition they have.

    That is so when a secret that they read was rotated.
    """
    target, services = target_of(manifest), {}
    for name, part in manifest.services.items():
        reads_secrets = any(each.get("secrets") for each in containers(target.services[name].task_definition))
        force = part.same and _rotated(manifest, good) and reads_secrets
        if not part.deployment and (force or not part.same):
            services[name] = force
    return services


def _rotated(manifest: Manifest, good: Manifest | None) -> bool:
    """Whether a secret has another version than what runs was started with."""
    return bool(good and good.secrets != manifest.secrets)


def _accepted(context: Context, rollout: Rollout, name: str, part: ReleasedService) -> Rolling | None:
    """Follow an order that ECS took, and that the bucket does not know: its service is on our definition.

    One that was on it before, and has completed, may as well never have been ordered.
    """
    rolling = rollout.ask(name)
    primary = rolling.primary
    if primary is None or primary.task_definition != part.task_definition:
        return None
    if part.previous == part.task_definition and primary.rollout != IN_PROGRESS:
        return None
    before = [(each.id, each.task_definition) for each in rolling.deployments if each.id != primary.id]
    known = ReleasedService(part.task_definition, part.image, deployment=primary.id, before=before)
    return rollout.follow(name, _request(context, known))


def _request(context: Context, part: ReleasedService) -> DeploymentRequest:
    return DeploymentRequest(
        part.deployment, part.task_definition, tuple(part.before), returns=True, timeout=context.timing.timeout
    )


def _with_request(part: ReleasedService, rolling: Rolling) -> ReleasedService:
    return msgspec.structs.replace(
        part,
        same=False,
        deployment=rolling.request.deployment,
        before=list(rolling.request.before),
        ordered=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _failed(context: Context, manifest: Manifest, good: Manifest | None, bad: list[Rolling]) -> Failure:
    """Return everything to the last known good release, and return the failure that tells why."""
    target = target_of(manifest)
    parts = [report.collect(context, target, each) for each in bad]
    lines = report.screen(parts)
    for part in parts:
        context.note(f"{part.name} failed: {part.hint or part.message}")
    return fail_and_roll_back(context, manifest, good, f"{', '.join(part.name for part in parts)} failed", lines)
