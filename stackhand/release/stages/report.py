"""Why a release failed, on one screen and as a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackhand import redaction
from stackhand.aws.errors import failure, message_of, remedy
from stackhand.aws.waiting import Interrupted
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.state import State
from stackhand.release.context import Context
from stackhand.release.ecs.cluster import TAIL, Cluster, log_tail
from stackhand.release.ecs.rollout import Rolling
from stackhand.release.ecs.states import StoppedTask
from stackhand.release.manifest import Manifest
from stackhand.release.target import Target, Targets, short
from stackhand.release.verdict import COMPLETED, Verdict
from stackhand.system.roots import PROJECT

EVENTS = 5


@dataclass
class FailedService:
    """What there is to say of one service that failed.

    Args:
        events: of ECS since the order, oldest first.
        tasks: that stopped, newest first.
        log: the last lines of the newest task.
        hint: the one thing to check first.
    """

    name: str
    message: str
    events: list[str] = field(default_factory=list)
    tasks: list[StoppedTask] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    hint: str = ""

    def lines(self, log: int = TAIL) -> list[str]:
        """Return it as lines, the most telling last, with so many lines of its log."""
        shown = self.log[-log:]
        lines = [f"{self.name}: {self.message}"]
        lines += [f"  event: {message}" for message in self.events[-EVENTS:]]
        lines += [f"  {line}" for task in self.tasks for line in task.lines()]
        lines += [f"  target {line}" for line in self.health]
        if shown:
            lines += [f"  its last {len(shown)} log lines:", *(f"    {line}" for line in shown)]
        return lines + ([f"  hint: {self.hint}"] if self.hint else [])


def collect(context: Context, target: Target, rolling: Rolling) -> FailedService:
    """Ask AWS what there is to know of a service that failed; what cannot be asked is reported, and stops nothing."""
    service, cluster = target.services[rolling.name], Cluster(context.ecs, target.cluster)
    targets = Targets(context.environment.client("elbv2"), target)
    part = FailedService(rolling.name, rolling.refused or _outcome(rolling), rolling.events())

    def ask(what: str, question: Callable[[], list[Any]]) -> list[Any]:
        try:
            return question()
        except Exception as error:  # whatever AWS refuses: the report is about something else
            part.events.append(f"({what} cannot be read: {message_of(error)})")
            return []

    def log() -> list[str]:
        logs = (log_tail(context.cloudwatch, service, task.id) for task in part.tasks)
        return next(filter(None, logs), [])

    part.tasks = ask("stopped tasks", lambda: cluster.stopped_tasks(rolling.service, rolling.request))
    part.health = ask("target health", lambda: targets.troubles(service))
    part.log = ask("log", log)
    part.hint = hint(part.tasks, [*part.events, *part.health, *part.log, part.message])
    return part


def screen(parts: Sequence[FailedService]) -> list[str]:
    """Return several services' parts as one screen: they share the room for log lines."""
    share = TAIL // max(1, len(parts))
    return [line for part in parts for line in part.lines(share)]


def keep(release: str, lines: Sequence[str]) -> Path:
    """Write a report below .stackhand/logs, and return its path."""
    state = State(PROJECT)
    state.make()
    path = state.logs / f"release-{release}.txt"
    path.write_text("\n".join(redaction.current().lines(lines)) + "\n", encoding="utf-8")
    return path.relative_to(PROJECT)


def _outcome(rolling: Rolling) -> str:
    """Say how its rollout ended, in ECS's words where it has some."""
    ours = rolling.seen[-1].deployment(rolling.request.deployment) if rolling.seen else None
    message = str(rolling.verdict or ("failed" if rolling.failing else "still rolling")).replace("_", " ")
    if ours is None:
        return message
    if ours.rollout == COMPLETED and rolling.verdict is Verdict.FAILED:
        return "failed, its tasks start and then end by themselves"
    return f"{message}, {ours.failed} failed tasks{f': {ours.reason}' if ours.reason else ''}"


KILLED = 137

HINTS: tuple[tuple[str, str], ...] = (
    (
        r"CannotPull|pull image|manifest unknown|not found: manifest|ImageNotFound",
        "the image cannot be pulled: is it in ECR, and can the execution role read it?",
    ),
    (
        r"AccessDenied.*(ssm|secretsmanager|kms)|unable to (pull|retrieve) secret|ResourceInitializationError.*secret",
        "a secret cannot be read: the execution role needs ssm:GetParameters and kms:Decrypt on it",
    ),
    (r"OutOfMemory|OOM", "it ran out of memory: raise x-aws.memory of the service"),
    (
        r"failed container health checks",
        "it runs but does not pass the healthcheck of its Compose file: does its image have that program?",
    ),
    (
        r"failed ELB health checks|Target\.(Timeout|ResponseCodeMismatch|FailedHealthChecks)|health check",
        "it runs but does not pass its health check: does x-health answer 200 at x-aws.port?",
    ),
    (r"exec format error", "the image is for another processor: its architecture is not that of the task definition"),
    (r"no such file or directory|executable file not found", "the container's command is not in its image"),
    (
        r"ResourceInitializationError.*log",
        "the log group is missing, or the execution role has no permission to write to it",
    ),
    (
        r"unable to place|RESOURCE:|insufficient capacity|Capacity is unavailable",
        "AWS has no capacity for the task right now: try again, or add subnets",
    ),
)


def hint(tasks: Sequence[StoppedTask], more: Sequence[str]) -> str:
    """Return the one thing to check first; nothing when that is unknown."""
    text = "\n".join([*(line for task in tasks for line in task.lines()), *more])
    for pattern, message in HINTS:
        if re.search(pattern, text, re.IGNORECASE):
            return message
    codes = [code for task in tasks for _, code, _ in task.containers if code is not None]
    if KILLED in codes:
        return "exit code 137: it was killed, probably out of memory: raise x-aws.memory of the service"
    bad = next((code for code in codes if code), None)
    return "" if bad is None else f"exit code {bad}: its log shows why"


CODES = {
    Verdict.DEPLOYED: ExitCode.DONE,
    Verdict.ROLLED_BACK: ExitCode.ROLLED_BACK,
    Verdict.FAILED: ExitCode.DEPLOY_FAILED,
    Verdict.SUPERSEDED: ExitCode.SUPERSEDED,
    Verdict.STILL_ROLLING: ExitCode.STILL_ROLLING,
}


@contextmanager
def explained(manifest: Callable[[], Manifest], rolling: Mapping[str, Rolling]) -> Iterator[None]:
    """Turn what stops us while services are replaced into a failure that says what ECS goes on with.

    The release is returned as far as it is known by then.
    """
    from stackhand.aws.exceptions import BotoCoreError, ClientError

    try:
        yield
    except Interrupted:
        raise interrupted(manifest(), rolling) from None
    except (BotoCoreError, ClientError) as error:
        raise lost(manifest(), rolling, error) from error
    except Failure as error:
        raise unrecorded(manifest(), error, rolling) from error


def interrupted(manifest: Manifest, rolling: Mapping[str, Rolling]) -> Failure:
    """Return what to say when somebody stops us while services are replaced: ECS goes on without us."""
    name = manifest.environment
    return Failure(
        f"Interrupted; ECS continues to roll out {manifest.commit[:12]} to {name}.",
        evidence=_unfinished(manifest, rolling) if rolling else ["no service was changed yet"],
        next=f"./inv deploy -e {name} --resume to continue, ./inv rollback -e {name} to roll back",
        code=ExitCode.STILL_ROLLING if rolling else ExitCode.INTERRUPTED,
    )


def unverified(manifest: Manifest) -> Failure:
    """Return what to say when somebody stops us between the rollout and the record of it."""
    name, touched = manifest.environment, manifest.ordered
    return Failure(
        f"Interrupted; {manifest.commit[:12]} runs in {name}, but is unverified.",
        evidence=["it is not recorded as a good release, so no rollback can use it"] if touched else [],
        next=f"./inv deploy -e {name} --resume to probe and record it" if touched else f"./inv cloud.status -e {name}",
        code=ExitCode.STILL_ROLLING if touched else ExitCode.INTERRUPTED,
    )


def lost(manifest: Manifest, rolling: Mapping[str, Rolling], error: Exception) -> Failure:
    """Return what to say when AWS does not answer us any more in the middle."""
    name = manifest.environment
    if not rolling and not manifest.ordered:
        return failure(f"The rollout to {name} did not start", error)
    return failure(
        f"{manifest.commit[:12]} can no longer be watched in {name}, where ECS continues",
        error,
        ExitCode.STILL_ROLLING,
        repeat=f"./inv deploy -e {name} --resume",
        evidence=_unfinished(manifest, rolling),
    )


def unrecorded(manifest: Manifest, error: Failure, rolling: Mapping[str, Rolling] | None = None) -> Failure:
    """Return what to say when the bucket fails us after an order: ECS goes on, and is not all known there."""
    name = manifest.environment
    if error.code is ExitCode.LOCKED or not (rolling or manifest.ordered):
        return error
    return Failure(
        f"{manifest.commit[:12]} was updated in {name}, but that could not be recorded; ECS continues.",
        evidence=[*_unfinished(manifest, rolling or {}), error.what, *error.evidence],
        next=f"{remedy(error)}, then ./inv deploy -e {name} --resume",
        code=ExitCode.STILL_ROLLING,
    )


def unresolved(context: Context, manifest: Manifest, rolling: Mapping[str, Rolling], verdict: Verdict) -> Failure:
    """Return what to say of a release that is neither deployed nor failed; nothing is touched any more."""
    name = context.environment.name
    lines = [each.summary() for each in rolling.values()]
    if verdict is Verdict.SUPERSEDED:
        foreign = [line for each in rolling.values() for line in _foreign(each)]
        unkept = _judge(context, manifest, verdict, "; ".join(foreign))
        return Failure(
            f"Deploy of {manifest.commit[:12]} to {name} was superseded: somebody else deployed meanwhile.",
            evidence=[*lines, *foreign, *unkept],
            next=f"./inv cloud.status -e {name} shows what runs; deploy again to replace it",
            code=ExitCode.SUPERSEDED,
        )
    within = context.timing.timeout
    unkept = _judge(context, manifest, verdict, f"not done within {within:g} s")
    events = [f"{each.name} event: {message}" for each in rolling.values() for message in each.events()[-5:]]
    return Failure(
        f"{manifest.commit[:12]} is still rolling out to {name} after {within:g} s, and has not failed.",
        evidence=[*lines, *events, *unkept],
        next=f"./inv deploy -e {name} --resume to continue, ./inv rollback -e {name} to roll back",
        code=ExitCode.STILL_ROLLING,
    )


def _judge(context: Context, manifest: Manifest, verdict: Verdict, reason: str) -> list[str]:
    """Keep a verdict, and return a line when that fails: it is the verdict none the less."""
    try:
        context.releases.write(manifest.judged(verdict, reason))
    except Failure as error:
        return [f"the verdict could not be recorded: {error.what}"]
    return []


def _unfinished(manifest: Manifest, rolling: Mapping[str, Rolling]) -> list[str]:
    """Say where each service is, and which is not ordered yet."""
    rest = [name for name, each in manifest.services.items() if not (each.same or each.deployment or name in rolling)]
    return [*(each.summary() for each in rolling.values()), *(f"{name} is not updated yet" for name in rest)]


def _foreign(rolling: Rolling) -> list[str]:
    primary = rolling.seen[-1].primary if rolling.seen else None
    if rolling.verdict is not Verdict.SUPERSEDED or primary is None:
        return []
    return [f"{rolling.name} now rolls out {short(primary.task_definition)} ({primary.id})"]
