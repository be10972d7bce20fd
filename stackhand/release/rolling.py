"""The stage of a release that replaces the services, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from stackhand.failure import Failure
from stackhand.release import ending
from stackhand.release.context import Context, target_of
from stackhand.release.manifest import Manifest, Part
from stackhand.release.returning import Returned, go_back
from stackhand.release.rollout import Rolling, Rollout
from stackhand.release.verdict import Order, Verdict
from stackhand.release.waiting import Interrupted


def roll(context: Context, manifest: Manifest, good: Manifest | None) -> Manifest:
    """Replace the services by those of a release, and wait for the verdict.

    Args:
        context: where.
        manifest: the release.
        good: the last known good one, to return to.

    Raises:
        Failure: it is not deployed; what runs by now is said.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    target = target_of(manifest)
    rotated = bool(good and good.secrets != manifest.secrets)
    if (
        good
        and good.commit == manifest.commit
        and not rotated
        and all(each.same for each in manifest.services.values())
    ):
        return manifest
    rollout = context.rollout(target)
    context.require_lease()
    context.releases.write(manifest)
    try:
        for name, part in manifest.services.items():
            force = part.same and rotated and _reads_secrets(target.services[name].task_definition)
            if part.same and not force:
                continue
            rolling = rollout.update(name, target.services[name].service, part.task_definition, force=force)
            manifest = manifest.but(services={**manifest.services, name: _ordered(part, rolling)})
            context.releases.write(manifest)
    except Interrupted:
        raise ending.interrupted(manifest, rollout.rolling) from None
    except (BotoCoreError, ClientError) as error:
        raise ending.lost(manifest, rollout.rolling, error) from error
    return watch(context, manifest, good, rollout)


def resume(context: Context, manifest: Manifest, good: Manifest | None) -> Manifest:
    """Go on waiting for a release that was left rolling.

    Raises:
        Failure: as for `roll`.
    """
    target = target_of(manifest)
    rollout = context.rollout(target)
    for name, part in manifest.services.items():
        if part.deployment:
            order = Order(
                part.deployment, part.task_definition, tuple(part.before), returns=True, timeout=context.pace.timeout
            )
            rollout.follow(name, target.services[name].service, order)
    return watch(context, manifest, good, rollout)


def watch(context: Context, manifest: Manifest, good: Manifest | None, rollout: Rollout) -> Manifest:
    """Wait for the verdict on what was ordered, and act on it.

    Raises:
        Failure: it is not deployed.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = rollout.wait() if rollout.rolling else Verdict.DEPLOYED
    except Interrupted:
        raise ending.interrupted(manifest, rollout.rolling) from None
    except (BotoCoreError, ClientError) as error:
        raise ending.lost(manifest, rollout.rolling, error) from error
    if found is Verdict.DEPLOYED:
        return manifest
    if found is Verdict.FAILED:
        ends = {Verdict.FAILED, Verdict.ROLLED_BACK}
        bad = [each for each in rollout.rolling.values() if each.failing or each.verdict in ends]
        raise failed(context, manifest, good, bad)
    raise ending.open_end(context, manifest, rollout.rolling, found)


def failed(context: Context, manifest: Manifest, good: Manifest | None, bad: list[Rolling]) -> Failure:
    """Return everything to the last known good release, and return the failure that tells why."""
    from stackhand.release import report

    collector = report.Collector(context.environment, target_of(manifest))
    parts = [collector.collect(each) for each in bad]
    lines = report.screen(parts)
    for part in parts:
        context.note(f"{part.name} failed: {part.hint or part.words}")
    return go_back_and_tell(context, manifest, good, f"{', '.join(part.name for part in parts)} failed", lines)


def go_back_and_tell(
    context: Context, manifest: Manifest, good: Manifest | None, what: str, lines: list[str]
) -> Failure:
    """Return everything to the last known good release, and return the failure of the whole."""
    from stackhand.release import report

    try:
        returned = go_back(context, manifest, good)
    except Interrupted:
        returned = Returned(Verdict.STILL_ROLLING, "interrupted while the services return")
    verdict = returned.verdict
    try:
        context.releases.write(manifest.judged(verdict, what))
    except Failure as error:
        lines = [*lines, f"the verdict could not be recorded: {error.what}"]
    everything = [*lines, *returned.lines]
    path = report.keep(manifest.id, [f"{manifest.id}: {verdict}", *everything])
    name = context.environment.name
    return Failure(
        f"The release {manifest.commit[:12]} to {name} was not taken: {what}; {returned.words}.",
        evidence=[*everything, f"this report: {path}"],
        next=f"./inv cloud.logs -e {name}; mend it, then ./inv deploy -e {name}",
        code=ending.CODES[verdict],
    )


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
