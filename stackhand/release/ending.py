"""What is said of a release that is neither deployed nor failed: ECS, or somebody else, goes on without us."""

from __future__ import annotations

from collections.abc import Mapping

from stackhand.aws.errors import failure, remedy
from stackhand.cli.failure import ExitCode, Failure
from stackhand.release.context import Context
from stackhand.release.manifest import Manifest
from stackhand.release.rollout import Rolling
from stackhand.release.verdict import Verdict

CODES = {
    Verdict.DEPLOYED: ExitCode.DONE,
    Verdict.ROLLED_BACK: ExitCode.ROLLED_BACK,
    Verdict.FAILED: ExitCode.DEPLOY_FAILED,
    Verdict.SUPERSEDED: ExitCode.SUPERSEDED,
    Verdict.STILL_ROLLING: ExitCode.STILL_ROLLING,
}


def interrupted(manifest: Manifest, rolling: Mapping[str, Rolling]) -> Failure:
    """Return what to say when somebody stops us while services are replaced: ECS goes on without us."""
    name = manifest.environment
    return Failure(
        f"Interrupted; ECS goes on rolling out {manifest.commit[:12]} to {name} without us.",
        evidence=_words(manifest, rolling) if rolling else ["no service was touched yet"],
        next=f"./inv deploy -e {name} --resume to go on waiting, ./inv rollback -e {name} to go back",
        code=ExitCode.STILL_ROLLING if rolling else ExitCode.INTERRUPTED,
    )


def unproven(manifest: Manifest) -> Failure:
    """Return what to say when somebody stops us between the rollout and the record of it."""
    name, touched = manifest.environment, any(each.deployment for each in manifest.services.values())
    return Failure(
        f"Interrupted; {manifest.commit[:12]} runs in {name}, and nobody knows whether it is well.",
        evidence=["it is not recorded as a good release, to which one may return"] if touched else [],
        next=f"./inv deploy -e {name} --resume to probe and record it" if touched else f"./inv cloud.status -e {name}",
        code=ExitCode.STILL_ROLLING if touched else ExitCode.INTERRUPTED,
    )


def lost(manifest: Manifest, rolling: Mapping[str, Rolling], error: Exception) -> Failure:
    """Return what to say when AWS does not answer us any more in the middle."""
    name = manifest.environment
    if not rolling and not any(each.deployment for each in manifest.services.values()):
        return failure(f"The rollout to {name} was not begun", error)
    return failure(
        f"{manifest.commit[:12]} cannot be watched any more in {name}, where ECS goes on without us",
        error,
        ExitCode.STILL_ROLLING,
        repeat=f"./inv deploy -e {name} --resume",
        evidence=_words(manifest, rolling),
    )


def unrecorded(manifest: Manifest, error: Failure, rolling: Mapping[str, Rolling] | None = None) -> Failure:
    """Return what to say when the bucket fails us after an order: ECS goes on, and is not all known there."""
    name = manifest.environment
    ordered = rolling or any(each.deployment for each in manifest.services.values())
    if error.code is ExitCode.LOCKED or not ordered:
        return error
    return Failure(
        f"{manifest.commit[:12]} was ordered in {name}, and that could not be recorded; ECS goes on without us.",
        evidence=[*_words(manifest, rolling or {}), error.what, *error.evidence],
        next=f"{remedy(error)}, then ./inv deploy -e {name} --resume",
        code=ExitCode.STILL_ROLLING,
    )


def open_end(context: Context, manifest: Manifest, rolling: Mapping[str, Rolling], found: Verdict) -> Failure:
    """Return what to say of a release that is neither deployed nor failed; nothing is touched any more."""
    name = context.environment.name
    words = [each.words() for each in rolling.values()]
    if found is Verdict.SUPERSEDED:
        foreign = [line for each in rolling.values() for line in _foreign(each)]
        unkept = _judge(context, manifest, found, "; ".join(foreign))
        return Failure(
            f"The release {manifest.commit[:12]} to {name} was superseded: somebody else deployed meanwhile.",
            evidence=[*words, *foreign, *unkept],
            next=f"./inv cloud.status -e {name} shows what runs; deploy again if it is to be yours",
            code=ExitCode.SUPERSEDED,
        )
    unkept = _judge(context, manifest, found, f"not done within {context.pace.timeout:g} s")
    events = [f"{each.name} event: {message}" for each in rolling.values() for message in each.events()[-5:]]
    return Failure(
        f"{manifest.commit[:12]} is still rolling out to {name} after {context.pace.timeout:g} s, and has not failed.",
        evidence=[*words, *events, *unkept],
        next=f"./inv deploy -e {name} --resume to go on waiting, ./inv rollback -e {name} to go back",
        code=ExitCode.STILL_ROLLING,
    )


def _judge(context: Context, manifest: Manifest, found: Verdict, reason: str) -> list[str]:
    """Keep a verdict, and return what is to be said when that fails: it is the verdict none the less."""
    try:
        context.releases.write(manifest.judged(found, reason))
    except Failure as error:
        return [f"the verdict could not be recorded: {error.what}"]
    return []


def _words(manifest: Manifest, rolling: Mapping[str, Rolling]) -> list[str]:
    """Say where each service is, and which is not ordered yet."""
    rest = [name for name, each in manifest.services.items() if not (each.same or each.deployment or name in rolling)]
    return [*(each.words() for each in rolling.values()), *(f"{name} is not ordered yet" for name in rest)]


def _foreign(rolling: Rolling) -> list[str]:
    primary = rolling.seen[-1].primary if rolling.seen else None
    if rolling.verdict is not Verdict.SUPERSEDED or primary is None:
        return []
    return [f"{rolling.name} now rolls out {primary.task_definition.rpartition('/')[2]} ({primary.id})"]
