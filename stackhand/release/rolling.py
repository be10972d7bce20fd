"""The stage of a release that replaces the services, all of them or none."""

from __future__ import annotations

from contextlib import suppress

from stackhand.aws.waiting import Interrupted
from stackhand.cli.failure import Failure
from stackhand.release import ending, inventory, ordering
from stackhand.release.context import Context, target_of
from stackhand.release.manifest import Manifest
from stackhand.release.returning import Returned, go_back
from stackhand.release.rollout import Rolling, Rollout
from stackhand.release.verdict import Verdict


def roll(context: Context, manifest: Manifest, good: Manifest | None) -> Manifest:
    """Replace the services by those of a release, and wait for the verdict.

    Args:
        context: where.
        manifest: the release.
        good: the last known good one, to return to.

    Raises:
        Failure: it is not deployed; what runs by now is said.
    """
    same = all(each.same for each in manifest.services.values())
    if good and good.commit == manifest.commit and same and not ordering.rotated(manifest, good):
        return manifest
    return _order_and_watch(context, manifest, good)


def resume(context: Context, manifest: Manifest, good: Manifest | None) -> Manifest:
    """Go on with a release that was left rolling: order what was not ordered yet, and wait for all of it.

    Raises:
        Failure: as for `roll`.
    """
    _require_tasks(context, manifest)
    return _order_and_watch(context, manifest, good)


def _require_tasks(context: Context, manifest: Manifest) -> None:
    """Refuse services that are scaled to 0; what AWS does not answer is reported by the rollout itself."""
    from stackhand.aws.exceptions import BotoCoreError, ClientError

    target = target_of(manifest)
    with suppress(BotoCoreError, ClientError):
        inventory.require_tasks(context, target, inventory.of(context, target))


def _order_and_watch(context: Context, manifest: Manifest, good: Manifest | None) -> Manifest:
    rollout = context.rollout(target_of(manifest))
    return watch(context, ordering.order(context, manifest, good, rollout), good, rollout)


def watch(context: Context, manifest: Manifest, good: Manifest | None, rollout: Rollout) -> Manifest:
    """Wait for the verdict on what was ordered, and act on it.

    Raises:
        Failure: it is not deployed.
    """
    from stackhand.aws.exceptions import BotoCoreError, ClientError

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
        context.releases.write(manifest.but(extra=returned.extra).judged(verdict, what))
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
