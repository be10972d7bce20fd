"""The migration before a release: a task of its own on the new task definition, whose exit code decides.

It waits for STOPPED and for nothing else: a migration that has nothing to do has stopped before anybody sees it run.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from stackhand.aws import waiting
from stackhand.aws.diagnosis import Kind
from stackhand.aws.errors import diagnose, failure, message_of, transient
from stackhand.aws.waiting import Clock, Interrupted
from stackhand.cli.failure import ExitCode, Failure
from stackhand.release.context import Context
from stackhand.release.ecs.cluster import TAIL, Cluster, LogFollower
from stackhand.release.ecs.states import StoppedTask
from stackhand.release.manifest import Manifest
from stackhand.release.target import ServiceTarget, Target, TaskTarget, short, target_of
from stackhand.release.verdict import Verdict

POLL = 1.0
LOG_COMES_WITHIN = 5.0
CAPACITY = 3
"""How often to ask when there is no place for the task, or ECS does not know the new definition yet."""
STOPS_WITHIN = 60.0
LONGEST_NAME = 36
"""Letters that ECS takes of who started a task."""


def migrate(context: Context, manifest: Manifest) -> dict[str, list[str]]:
    """Run the jobs and migrations of the services that are to be replaced, and return the output of each, by name.

    The bucket knows of them before they begin, and that they failed: there may be no rollback past them.

    Raises:
        Failure: one failed.
        Interrupted: we are to stop.
    """
    target, rotated = target_of(manifest), context.releases.rotated(manifest.secrets)
    definitions = manifest.jobs | {
        name: manifest.services[name].task_definition
        for name, each in target.services.items()
        if each.migrate and (rotated or not manifest.services[name].same)
    }
    output: dict[str, list[str]] = {}
    if definitions:
        context.require_lease()
        context.releases.write(manifest.but(migrated=True))
    for name, definition in definitions.items():
        timeout = target.jobs[name].timeout if name in target.jobs else target.services[name].migrate_timeout
        task = Migration(
            Cluster(context.ecs, target.cluster),
            context.cloudwatch,
            target,
            name,
            context.clock,
            lambda text, name=name: context.count(f"migration of {name}: {text}"),  # type: ignore[misc]
            poll=min(context.timing.poll, 1.0),
            timeout=timeout or context.timing.migration,
            starts_within=context.timing.timeout,
        )
        try:
            context.require_lease()
            output[name] = task.run(definition, f"release-{manifest.id}")
        except (Failure, Interrupted) as error:
            reason = error.what if isinstance(error, Failure) else f"interrupted before the migration of {name}"
            with suppress(Failure):  # what is to be output is the migration's
                failed = manifest.but(migrated=bool(output) or task.started)
                context.releases.write(failed.judged(Verdict.FAILED, reason))
            raise
    return output


@dataclass
class Migration:
    """The task of one job; or of one service, whose command is another one then.

    Args:
        name: of the job or service.
        count: told again and again how long it runs and the last line of its log.
        poll: seconds between two looks, at most.
        timeout: seconds after which it is stopped.
        starts_within: seconds for which ECS is asked to start it.
        started: whether ECS has started it, or may have.
        show: called with each line of its log.
    """

    cluster: Cluster
    cloudwatch: Any
    target: Target
    name: str
    clock: Clock
    count: Callable[[str], None]
    poll: float = POLL
    timeout: float = 7200.0
    starts_within: float = 900.0
    started: bool = False
    show: Callable[[str], None] = lambda _: None

    unharmed: ClassVar = "; no service was changed"
    """What is told of the services besides, when it fails."""
    failed: ClassVar = ExitCode.DEPLOY_FAILED

    @property
    def again(self) -> str:
        """How to repeat it, at the end of a sentence."""
        return "deploy again"

    @property
    def the_job(self) -> str:
        """What it is, at the begin of a sentence."""
        return f"The job {self.name}" if self.name in self.target.jobs else f"The migration of {self.name}"

    def run(self, task_definition: str, started_by: str) -> list[str]:
        """Run it to its end, and return what it said.

        Raises:
            Failure: it did not end with 0, or nobody can watch it; no service has been touched.
            Interrupted: we are to stop, and there is no task.
        """
        service = self.target.tasks()[self.name]
        task = self._start(service, task_definition, started_by)
        follower = LogFollower(self.cloudwatch, service, task)
        output: list[str] = []
        try:
            finished = self._wait(task, follower, output)
        except Failure:
            raise
        except Exception as error:
            raise self._abandoned(task, error) from error
        code = finished.exit_code(service.container)
        if code != 0:
            self._rest(follower, output)
            message = "ended without an exit code" if code is None else f"ended with exit code {code}"
            raise self._failure(message, [*finished.reasons(), *output[-TAIL:]])
        return output

    def _start(self, service: TaskTarget, task_definition: str, started_by: str) -> str:
        command = (service.migrate or []) if isinstance(service, ServiceTarget) else []  # a job runs its own
        token, started_by = "", started_by[:LONGEST_NAME]
        refused: Exception | None = None
        code, reasons = self.failed, [""]
        deadline, refusals, delays = self.clock.now() + self.starts_within, 0, waiting.delays()
        while refusals < CAPACITY and self.clock.now() < deadline:
            if not self.started:  # one token as long as ECS may have started a task for it: there is never a second one
                token = secrets.token_hex(16)
            try:
                task, refusal = self.cluster.start_task(
                    service, task_definition, command=command, started_by=started_by, token=token
                )
            except Exception as error:
                reasons = [message_of(error)]
                if not transient(error):
                    refused = error
                    break
                self.started, seconds = True, next(delays)
            else:
                self.started = bool(task)
                if self.started:
                    return task
                reasons, seconds, refusals = refusal, self.poll * 5, refusals + 1
            self.count(f"not started yet: {reasons[0]}")
            try:
                self.clock.sleep(seconds)
            except Interrupted:
                if not self.started:
                    raise
                code = ExitCode.INTERRUPTED
                break
        unknown = self._end_unanswered(started_by) if self.started else []
        if not self.started and refused is not None and diagnose(refused).kind is not Kind.REFUSED:
            what = f"{self.the_job} could not be started{self.unharmed}"
            raise failure(what, refused, repeat=self.again) from refused
        raise self._failure("could not be started", [*reasons, *unknown], code)

    def _end_unanswered(self, started_by: str) -> list[str]:
        """Stop what ECS may have started although its answer never came, and return what to say of it."""
        try:
            tasks = self.cluster.tasks_started_by(started_by)
        except Exception as error:
            by_hand = f"aws ecs list-tasks --cluster {self.cluster.name} --started-by {started_by}"
            return [f"ECS may have started it anyway ({message_of(error)}): {by_hand}"]
        return [
            f"ECS had started the task {each}; it {self._stop(each, 'its start was not answered')}" for each in tasks
        ]

    def _wait(self, task: str, follower: LogFollower, output: list[str]) -> StoppedTask:
        began = self.clock.now()
        deadline, reported = began + self.timeout, ""
        while True:
            described = self._stopped(task)
            output += self._shown(follower)
            last = f", {output[-1]}" if output else ""
            if (text := f"running for {elapsed(self.clock.now() - began)}{last}") != reported:
                self.count(text)
            reported = text
            if described:
                return described
            if self.clock.now() >= deadline:
                end = self._stop(task, f"not done within {self.timeout:g} s")
                message = f"did not end within {self.timeout:g} s, and {end}"
                longer = "give it longer by x-aws.release.timeout (seconds), then deploy again"
                raise self._failure(message, [f"task {task}", *output[-TAIL:]], repair=longer)
            self.clock.sleep(waiting.pause(self.clock.now() - began, self.poll))

    def _shown(self, follower: LogFollower) -> list[str]:
        lines = follower.new_lines()
        for line in lines:
            self.show(line)
        return lines

    def _stopped(self, task: str) -> StoppedTask | None:
        """Return the task once it has stopped; nothing while ECS does not answer."""
        try:
            return self.cluster.stopped(task)
        except Exception as error:
            if transient(error):
                return None
            raise

    def _rest(self, follower: LogFollower, output: list[str]) -> None:
        """CloudWatch shows a line some seconds after it was written: wait for those of a task that failed."""
        deadline = self.clock.now() + LOG_COMES_WITHIN
        quiet = 0
        while self.clock.now() < deadline and quiet < (1 if output else LOG_COMES_WITHIN):
            before = len(output)
            self.clock.sleep(min(self.poll, 1.0))
            output += self._shown(follower)
            quiet = quiet + 1 if len(output) == before else 0

    def _abandoned(self, task: str, error: Exception) -> Failure:
        """Stop a task that nobody waits for any more, and return what to say of it."""
        if isinstance(error, Interrupted):
            message = f"was interrupted, and {self._stop(task, 'interrupted')}"
            return self._failure(message, [f"task {task}"], ExitCode.INTERRUPTED)
        message = f"can no longer be watched, and {self._stop(task, 'nobody can watch it')}"
        meaning = failure("", error, repeat=self.again)
        return self._failure(message, [f"task {task}", meaning.what, *meaning.evidence], repair=meaning.next)

    def _stop(self, task: str, reason: str) -> str:
        """Stop a task, and say whether that went well; it may also have ended by itself."""
        retry = waiting.Retry(STOPS_WITHIN, self.clock.sleep, self.count, self.clock.now)
        try:
            retry(lambda: self.cluster.stop_task(task, f"stackhand: {reason}"))
        except Exception as error:
            number = short(task)
            by_hand = f"aws ecs stop-task --cluster {self.cluster.name} --task {number}"
            return f"may continue ({message_of(error)}); {by_hand} stops it"
        return "was stopped"

    def _failure(self, what: str, evidence: list[str], code: ExitCode | None = None, repair: str = "") -> Failure:
        return Failure(
            f"{self.the_job} {what}{self.unharmed}.",
            evidence=evidence,
            next=repair or f"fix it, then {self.again}",
            code=code or self.failed,
        )


def elapsed(seconds: float) -> str:
    """Return a time in its largest whole unit, so that it seldom changes."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004 - an hour
