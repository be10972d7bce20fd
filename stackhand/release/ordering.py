"""The orders of a release, one for each service, each kept in the bucket as soon as ECS has taken it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from stackhand.aws.waiting import Interrupted
from stackhand.cli.failure import Failure
from stackhand.release import ending, snapshots
from stackhand.release.context import Context, target_of
from stackhand.release.manifest import Manifest, Part
from stackhand.release.rollout import Rolling, Rollout
from stackhand.release.verdict import IN_PROGRESS, Order


def order(context: Context, manifest: Manifest, good: Manifest | None, rollout: Rollout) -> Manifest:
    """Follow what was ordered of a release before, and order what was not.

    Raises:
        Failure: it could not be done; what was ordered is said.
    """
    from stackhand.aws.exceptions import BotoCoreError, ClientError

    again, target = manifest.touched, target_of(manifest)
    for name, part in manifest.services.items():
        if part.deployment:
            rollout.follow(name, target.services[name].service, _order(context, part))
    try:
        context.require_lease()
        manifest = manifest.but(rolled=True)
        context.releases.write(manifest)
        for name, force in missing(manifest, good).items():
            part, service = manifest.services[name], target.services[name].service
            rolling = _taken(context, rollout, name, service, part) if again else None
            rolling = rolling or rollout.update(name, service, part.task_definition, force=force)
            manifest = manifest.but(services={**manifest.services, name: _ordered(part, rolling)})
            context.releases.write(manifest)
            if rolling.verdict:  # refused, or somebody else's by now: the others stay as they are
                break
    except Interrupted:
        raise ending.interrupted(manifest, rollout.rolling) from None
    except (BotoCoreError, ClientError) as error:
        raise ending.lost(manifest, rollout.rolling, error) from error
    except Failure as failure:
        raise ending.unrecorded(manifest, failure, rollout.rolling) from failure
    return manifest


def missing(manifest: Manifest, good: Manifest | None) -> dict[str, bool]:
    """Return the services that are to be ordered yet, and whether their tasks are replaced on the definition they have.

    That is so when a secret that they read was rotated.
    """
    target, found = target_of(manifest), {}
    for name, part in manifest.services.items():
        force = part.same and rotated(manifest, good) and _reads_secrets(target.services[name].task_definition)
        if not part.deployment and (force or not part.same):
            found[name] = force
    return found


def rotated(manifest: Manifest, good: Manifest | None) -> bool:
    """Whether a secret has another version than what runs was started with."""
    return bool(good and good.secrets != manifest.secrets)


def _taken(context: Context, rollout: Rollout, name: str, service: str, part: Part) -> Rolling | None:
    """Follow an order that ECS took, and of which the bucket was never told: its service is on our definition.

    One that was on it before, and has completed, may as well never have been ordered.
    """
    found = snapshots.snapshot(rollout.ask(service), 0)
    primary = found.primary
    if primary is None or primary.task_definition != part.task_definition:
        return None
    if part.previous == part.task_definition and primary.rollout != IN_PROGRESS:
        return None
    before = [(each.id, each.task_definition) for each in found.deployments if each.id != primary.id]
    known = Part(part.task_definition, part.image, deployment=primary.id, before=before)
    return rollout.follow(name, service, _order(context, known))


def _order(context: Context, part: Part) -> Order:
    return Order(part.deployment, part.task_definition, tuple(part.before), returns=True, timeout=context.pace.timeout)


def _ordered(part: Part, rolling: Rolling) -> Part:
    import msgspec

    return msgspec.structs.replace(
        part,
        same=False,
        deployment=rolling.order.deployment,
        before=list(rolling.order.before),
        ordered=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _reads_secrets(definition: Mapping[str, object]) -> bool:
    containers = definition.get("containerDefinitions") or []
    return any(each.get("secrets") for each in containers)  # type: ignore[attr-defined]
