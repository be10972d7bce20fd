"""The migration before a release: a task of its own on the new task definition, whose exit code decides.

It waits for STOPPED and for nothing else: a migration that has nothing to do has stopped before anybody sees it run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from stackhand.failure import ExitCode, Failure
from stackhand.release import logs
from stackhand.release.aws import message_of, transient
from stackhand.release.target import Service, Target
from stackhand.release.waiting import Clock, Interrupted

POLL = 1.0
LOG_COMES_WITHIN = 5.0
CAPACITY = 3
"""How often to ask when there is no place for the task, or ECS does not know the new definition yet."""


@dataclass
class Migration:
    """The one-off task of one service.

    Args:
        ecs: boto3's client.
        cloudwatch: boto3's client for logs.
        target: where.
        name: of the service.
        clock: the time.
        tell: told each line of its log.
        poll: seconds between two looks.
        timeout: seconds after which it is stopped.
    """

    ecs: Any
    cloudwatch: Any
    target: Target
    name: str
    clock: Clock
    tell: Callable[[str], None]
    poll: float = POLL
    timeout: float = 900.0

    def run(self, task_definition: str, started_by: str) -> list[str]:
        """Run it to its end, and return what it said.

        Raises:
            Failure: it did not end with 0; no service has been touched.
            Interrupted: we are to stop; so was the task.
        """
        service = self.target.services[self.name]
        task = self._start(service, task_definition, started_by)
        follower = logs.Follower(self.cloudwatch, service, service.container, task)
        said: list[str] = []
        try:
            found = self._wait(task, follower, said)
        except Interrupted:
            self._stop(task, "interrupted")
            raise
        if _exit_code(found, service.container) != 0:
            self._rest(follower, said)
        self._judge(found, service, said)
        return said

    def _start(self, service: Service, task_definition: str, started_by: str) -> str:
        words = {
            "cluster": self.target.cluster,
            "taskDefinition": task_definition,
            "launchType": "FARGATE",
            "count": 1,
            "startedBy": started_by[:36],
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": service.subnets,
                    "securityGroups": service.security_groups,
                    "assignPublicIp": "DISABLED",
                }
            },
            "overrides": {"containerOverrides": [{"name": service.container, "command": service.migrate or []}]},
        }
        reasons: list[str] = []
        for attempt in range(CAPACITY):
            if attempt:
                self.clock.sleep(self.poll * 5)
            try:
                answer = self.ecs.run_task(**words)
            except Exception as error:
                if not transient(error):
                    raise self._failure("could not be started", [message_of(error)]) from error
                reasons = [message_of(error)]
                continue
            if answer.get("tasks"):
                return str(answer["tasks"][0]["taskArn"])
            reasons = [
                f"{each.get('reason', 'no reason given')} {each.get('detail', '')} {each.get('arn', '')}".strip()
                for each in answer.get("failures", [])
            ] or ["ECS started no task, and says no reason"]
        raise self._failure("could not be started", reasons)

    def _wait(self, task: str, follower: logs.Follower, said: list[str]) -> dict[str, Any]:
        deadline = self.clock.now() + self.timeout
        while True:
            found = self._describe(task)
            self._follow(follower, said)
            if found and found.get("lastStatus") == "STOPPED":
                return found
            if self.clock.now() >= deadline:
                self._stop(task, f"not done within {self.timeout:g} s")
                raise self._failure(f"did not end within {self.timeout:g} s, and was stopped", said[-logs.TAIL :])
            self.clock.sleep(self.poll)

    def _describe(self, task: str) -> dict[str, Any]:
        """Return the task; nothing while ECS does not know it yet, or does not answer."""
        try:
            answer = self.ecs.describe_tasks(cluster=self.target.cluster, tasks=[task])
        except Exception as error:
            if transient(error):
                return {}
            raise
        return dict(answer["tasks"][0]) if answer.get("tasks") else {}

    def _follow(self, follower: logs.Follower, said: list[str]) -> None:
        for line in follower.new_lines():
            said.append(line)
            self.tell(line)

    def _rest(self, follower: logs.Follower, said: list[str]) -> None:
        """CloudWatch shows a line some seconds after it was written: wait for those of a task that failed."""
        deadline = self.clock.now() + LOG_COMES_WITHIN
        quiet = 0
        while self.clock.now() < deadline and quiet < (1 if said else LOG_COMES_WITHIN):
            before = len(said)
            self.clock.sleep(min(self.poll, 1.0))
            self._follow(follower, said)
            quiet = quiet + 1 if len(said) == before else 0

    def _judge(self, found: dict[str, Any], service: Service, said: list[str]) -> None:
        code = _exit_code(found, service.container)
        if code == 0:
            return
        reason = [str(found["stoppedReason"])] if found.get("stoppedReason") else []
        own = [str(each["reason"]) for each in found.get("containers", []) if each.get("reason")]
        words = "ended without an exit code" if code is None else f"ended with exit code {code}"
        raise self._failure(words, [*reason, *own, *said[-logs.TAIL :]])

    def _stop(self, task: str, reason: str) -> None:
        with suppress(Exception):  # it has stopped by itself meanwhile, or AWS is away: then there is nothing to do
            self.ecs.stop_task(cluster=self.target.cluster, task=task, reason=f"stackhand: {reason}")

    def _failure(self, what: str, evidence: list[str]) -> Failure:
        return Failure(
            f"The migration of {self.name} {what}; no service was touched.",
            evidence=evidence,
            next="mend it, then deploy again",
            code=ExitCode.DEPLOY_FAILED,
        )


def _exit_code(found: dict[str, Any], container: str) -> int | None:
    """Return the exit code of the container we mean, and of no other one; none when it never ran."""
    for each in found.get("containers", []):
        if each.get("name") == container and each.get("exitCode") is not None:
            return int(each["exitCode"])
    return None
