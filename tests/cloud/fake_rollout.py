"""How deployments and tasks go in an ECS of our own: what happens to each is decided by its image."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

CLUSTER = "shop-staging"
ACCOUNT = "123456789012"
REGION = "eu-central-1"
ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


@dataclass(frozen=True)
class Outcome:
    """What happens to a deployment of an image.

    Args:
        kind: good; fails, task by task; hangs, without any failed task; or ends again and again, once it has completed.
        after: seconds until a good one has completed, or until each task fails or ends.
        exit: the exit code of its tasks; none for a container that never ran.
        migration: the exit code of a migration.
        migrates: seconds that a migration takes.
        reason: why its tasks stopped.
        code: their stop code.
        log: what they say.
        healthy: whether it answers well.
        version: the commit that it tells.
    """

    kind: str = "good"
    after: float = 4.0
    exit: int | None = 0
    migration: int | None = 0
    migrates: float = 2.0
    reason: str = ""
    code: str = "EssentialContainerExited"
    log: tuple[str, ...] = ()
    healthy: bool = True
    version: str = ""


class Rollouts:
    """The state machine of deployments and tasks."""

    now: float
    new_id: bool
    definitions: dict[str, dict[str, Any]]
    tasks: dict[str, dict[str, Any]]
    outcomes: dict[str, Outcome]
    logs: dict[str, list[str]]
    _number: itertools.count[int]

    def _advance(self, service: dict[str, Any]) -> None:
        primary = self._primary(service)
        outcome = self._outcome(primary["taskDefinition"])
        age = self.now - primary["_since"]
        if primary["rolloutState"] == "COMPLETED" and outcome.kind == "ends" and age > outcome.after:
            self._end(service, primary, outcome, up=age // outcome.after % 2 == 1)
        if primary["rolloutState"] != "IN_PROGRESS":
            return
        if outcome.kind in {"good", "ends"}:
            primary["runningCount"] = min(primary["desiredCount"], int(primary["desiredCount"] * age / outcome.after))
            if age >= outcome.after:
                self._complete(service, primary)
        elif outcome.kind == "fails" and age // outcome.after > primary["failedTasks"]:
            primary["failedTasks"] += 1
            task = self._task(primary["taskDefinition"], primary["id"], {}, service["serviceName"])
            self._stop(task, outcome.exit, outcome.reason, outcome.code)
            if primary["failedTasks"] == 3:
                self._break(service, primary)

    def _end(self, service: dict[str, Any], primary: dict[str, Any], outcome: Outcome, *, up: bool) -> None:
        """Have the tasks end, or run again."""
        if not up and primary["runningCount"]:
            task = self._task(primary["taskDefinition"], primary["id"], {}, service["serviceName"])
            self._stop(task, outcome.exit, outcome.reason, outcome.code)
        primary["runningCount"] = primary["desiredCount"] if up else 0

    def _complete(self, service: dict[str, Any], primary: dict[str, Any]) -> None:
        primary["rolloutState"] = "COMPLETED"
        primary["rolloutStateReason"] = f"ECS deployment {primary['id']} completed."
        service["deployments"] = [
            each
            for each in service["deployments"]
            if each is primary or (not self.new_id and each["rolloutState"] == "FAILED")
        ]
        self._event(service, f"(deployment {primary['id']}) deployment completed.")

    def _break(self, service: dict[str, Any], primary: dict[str, Any]) -> None:
        primary["rolloutState"] = "FAILED"
        primary["rolloutStateReason"] = "ECS deployment circuit breaker: tasks failed to start."
        self._event(service, f"(deployment {primary['id']}) deployment failed: tasks failed to start.")
        old = next((each for each in service["deployments"] if each["rolloutState"] == "COMPLETED"), None)
        breaker = service["deploymentConfiguration"].get("deploymentCircuitBreaker", {})
        if old is None or not breaker.get("rollback"):
            return
        primary |= {"status": "ACTIVE", "desiredCount": 0}
        service |= {
            "loadBalancers": old.get("_balancers", []),
            "_connection": old.get("_connection", {"enabled": False}),
        }
        if self.new_id:
            old["status"] = "ACTIVE"
            back = self._deployment(old["taskDefinition"], service["desiredCount"])
            back["rolloutStateReason"] = f"ECS deployment circuit breaker: rolling back to deploymentId {old['id']}."
            service["deployments"].insert(0, back)
        else:
            old |= {"status": "PRIMARY", "rolloutState": "IN_PROGRESS", "_since": self.now}
            old["rolloutStateReason"] = "ECS deployment rollback in progress."
        self._event(service, f"rolling back to deployment {old['id']}.")

    def _replace(self, service: dict[str, Any], definition: str) -> None:
        for each in service["deployments"]:
            each["status"] = "ACTIVE"
        service["deployments"].insert(0, self._deployment(definition, service["desiredCount"]))

    def _deployment(self, definition: str, desired: int) -> dict[str, Any]:
        return {
            "id": f"ecs-svc/{next(self._number):019}",
            "status": "PRIMARY",
            "rolloutState": "IN_PROGRESS",
            "rolloutStateReason": "",
            "taskDefinition": definition,
            "desiredCount": desired,
            "runningCount": 0,
            "pendingCount": 0,
            "failedTasks": 0,
            "_since": self.now,
        }

    def _event(self, service: dict[str, Any], words: str) -> None:
        number = next(self._number)
        message = f"(service {service['serviceName']}) {words}"
        service["events"].insert(0, {"id": str(number), "createdAt": self.now, "message": message})

    def _task(
        self, definition: str, started_by: str, overrides: dict[str, Any], service: str | None = None
    ) -> dict[str, Any]:
        number = f"{next(self._number):032x}"
        outcome = self._outcome(definition)
        containers = [
            {"name": each["name"], "lastStatus": "RUNNING"}
            for each in self.definitions[definition]["containerDefinitions"]
        ]
        task = {
            "taskArn": f"{ARN}:task/{CLUSTER}/{number}",
            "taskDefinitionArn": definition,
            "startedBy": started_by,
            "lastStatus": "PENDING",
            "desiredStatus": "RUNNING",
            "containers": containers,
            "overrides": overrides,
            "createdAt": self.now,
            "_service": service,
            "_token": None,
            "_ends": None if service else self.now + outcome.migrates,
        }
        self.tasks[task["taskArn"]] = task
        for container in containers:
            self.logs[f"ecs/{container['name']}/{number}"] = list(outcome.log)
        return task

    def _stop(self, task: dict[str, Any], code: int | None, reason: str, stop_code: str) -> None:
        task |= {"lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stoppedReason": reason, "stopCode": stop_code}
        task["stoppedAt"] = self.now
        for container in task["containers"]:
            container["lastStatus"] = "STOPPED"
            if code is not None:
                container["exitCode"] = code

    def _primary(self, service: dict[str, Any]) -> dict[str, Any]:
        return next(each for each in service["deployments"] if each["status"] == "PRIMARY")

    def _image(self, arn: str) -> str:
        return str(self.definitions[arn]["containerDefinitions"][0]["image"])

    def _outcome(self, arn: str) -> Outcome:
        return self.outcomes.get(self._image(arn).rpartition("@")[2], Outcome())
