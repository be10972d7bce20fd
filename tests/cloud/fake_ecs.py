"""An ECS of our own: a state machine with a clock that tests turn, for what neither moto nor an emulator can do.

What a deployment does is decided by the image of its task definition: see `Outcome`.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
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
        kind: good; fails, task by task; or hangs, without any failed task.
        after: seconds until a good one has completed, or until each task fails.
        exit: the exit code of its tasks; none for a container that never ran.
        migration: the exit code of a migration.
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
    reason: str = ""
    code: str = "EssentialContainerExited"
    log: tuple[str, ...] = ()
    healthy: bool = True
    version: str = ""


class Refused(Exception):  # noqa: N818 - as AWS does
    """AWS says no."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class Accepted(Refused):
    """AWS says yes, before it says no to the next call."""

    def __init__(self) -> None:
        super().__init__("")


class World:
    """The cluster.

    Args:
        tick: seconds that pass with each DescribeServices and DescribeTasks, for who cannot turn the clock.
        new_id: whether a rollback is a deployment of its own, as in AWS; in an emulator the old one comes back.
    """

    def __init__(self, tick: float = 0.0, *, new_id: bool = True) -> None:
        self.tick, self.new_id = tick, new_id
        self.now = 0.0
        self.definitions: dict[str, dict[str, Any]] = {}
        self.services: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.errors: dict[str, list[Refused]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.stale: list[dict[str, Any]] = []
        self.lag = 0
        self.refusals: list[str] = []
        self.logs: dict[str, list[str]] = {}
        self._plans: list[tuple[Callable[[], bool], float, Callable[[], object]]] = []
        self._number = itertools.count(1)

    # what a test does

    def after_updates(self, number: int, seconds: float, act: Callable[[], object]) -> None:
        """Do something some seconds after so many more orders, as somebody else would."""
        ordered = self.updates() + number
        self._plans.append((lambda: self.updates() >= ordered, seconds, act))

    def updates(self) -> int:
        """Return how often UpdateService was called."""
        return [name for name, _ in self.calls].count("UpdateService")

    def fail(self, operation: str, code: str, times: int = 1, status: int = 400) -> None:
        """Refuse the next calls of an operation."""
        self.errors.setdefault(operation, []).extend([Refused(code, "says the test", status)] * times)

    def create(self, name: str, image: str, desired: int = 2) -> None:
        """Make a service that runs."""
        arn = self.register_task_definition(definition(name, image))["taskDefinition"]["taskDefinitionArn"]
        done = self._deployment(arn, desired) | {"rolloutState": "COMPLETED", "runningCount": desired}
        self.services[f"shop-{name}"] = {
            "serviceName": f"shop-{name}",
            "status": "ACTIVE",
            "desiredCount": desired,
            "deploymentConfiguration": copy.deepcopy(BREAKER),
            "deployments": [done],
            "events": [],
        }

    def running(self, name: str) -> str:
        """Return the image that a service runs, told by its completed deployment."""
        deployments = self.services[f"shop-{name}"]["deployments"]
        primary = next(each for each in deployments if each["status"] == "PRIMARY")
        done = next((each for each in deployments if each["rolloutState"] == "COMPLETED"), primary)
        return str(self._image(done["taskDefinition"]))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 1.0)
            for plan in [plan for plan in self._plans if plan[0]()]:
                self._plans.remove(plan)
                when = self.now + plan[1]
                if plan[1] > 0:
                    self._plans.append((lambda when=when: self.now >= when, 0.0, plan[2]))  # type: ignore[misc]
                else:
                    plan[2]()
            for service in self.services.values():
                self._advance(service)

    # what AWS's clients ask for

    def call(self, operation: str, words: dict[str, Any]) -> dict[str, Any]:
        """Answer one call."""
        self.calls.append((operation, words))
        if self.errors.get(operation):
            error = self.errors[operation].pop(0)
            if not isinstance(error, Accepted):
                raise error
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
        found: dict[str, Any] = getattr(self, name)(words)
        return found

    def register_task_definition(self, words: dict[str, Any]) -> dict[str, Any]:
        revision = 1 + sum(each["family"] == words["family"] for each in self.definitions.values())
        arn = f"{ARN}:task-definition/{words['family']}:{revision}"
        found = copy.deepcopy(words) | {"taskDefinitionArn": arn, "revision": revision, "status": "ACTIVE"}
        for each in found["containerDefinitions"]:
            each.setdefault("cpu", 0)
            each.setdefault("essential", True)
            each.setdefault("mountPoints", [])
        self.definitions[arn] = found | {"volumes": [], "placementConstraints": [], "compatibilities": ["FARGATE"]}
        return {"taskDefinition": self.definitions[arn]}

    def describe_task_definition(self, words: dict[str, Any]) -> dict[str, Any]:
        if words["taskDefinition"] not in self.definitions:
            raise Refused("ClientException", "Unable to describe task definition.")
        return {"taskDefinition": self.definitions[words["taskDefinition"]]}

    def describe_services(self, words: dict[str, Any]) -> dict[str, Any]:
        self.advance(self.tick)
        known = self.services
        if self.lag > 0 and self.stale:
            self.lag -= 1
            known = self.stale[0]
        found = [known[name] for name in words["services"] if name in known]
        missing = [{"arn": name, "reason": "MISSING"} for name in words["services"] if name not in known]
        return {"services": copy.deepcopy(found), "failures": missing}

    def update_service(self, words: dict[str, Any]) -> dict[str, Any]:
        service = self.services.get(words["service"])
        if service is None:
            raise Refused("ServiceNotFoundException", "Service not found.")
        self.stale = [copy.deepcopy(self.services)]
        wanted = words.get("taskDefinition") or self._primary(service)["taskDefinition"]
        if self.definitions[wanted]["status"] != "ACTIVE":
            raise Refused("ClientException", "TaskDefinition is inactive")
        if wanted != self._primary(service)["taskDefinition"] or words.get("forceNewDeployment"):
            self._replace(service, wanted)
        return {"service": copy.deepcopy(service)}

    def run_task(self, words: dict[str, Any]) -> dict[str, Any]:
        if self.refusals:
            return {"tasks": [], "failures": [{"arn": "arn:cluster", "reason": self.refusals.pop(0)}]}
        task = self._task(words["taskDefinition"], words.get("startedBy", ""), words["overrides"])
        return {"tasks": [task], "failures": []}

    def describe_tasks(self, words: dict[str, Any]) -> dict[str, Any]:
        self.advance(self.tick)
        for task in self.tasks.values():
            outcome = self._outcome(task["taskDefinitionArn"])
            if task["_ends"] is not None and self.now >= task["_ends"] and task["lastStatus"] != "STOPPED":
                self._stop(task, outcome.migration, "", outcome.code)
        return {"tasks": [_shown(self.tasks[arn]) for arn in words["tasks"] if arn in self.tasks], "failures": []}

    def list_tasks(self, words: dict[str, Any]) -> dict[str, Any]:
        wanted = words.get("desiredStatus", "RUNNING")
        return {
            "taskArns": [
                arn
                for arn, task in self.tasks.items()
                if task["_service"] == words.get("serviceName") and task["desiredStatus"] == wanted
            ]
        }

    def stop_task(self, words: dict[str, Any]) -> dict[str, Any]:
        task = self.tasks[words["task"]]
        self._stop(task, 143, words.get("reason", ""), "UserInitiated")
        return {"task": _shown(task)}

    # how deployments go

    def _advance(self, service: dict[str, Any]) -> None:
        primary = self._primary(service)
        if primary["rolloutState"] != "IN_PROGRESS":
            return
        outcome = self._outcome(primary["taskDefinition"])
        age = self.now - primary["_since"]
        if outcome.kind == "good":
            primary["runningCount"] = min(primary["desiredCount"], int(primary["desiredCount"] * age / outcome.after))
            if age >= outcome.after:
                self._complete(service, primary)
        elif outcome.kind == "fails" and age // outcome.after > primary["failedTasks"]:
            primary["failedTasks"] += 1
            task = self._task(primary["taskDefinition"], primary["id"], {}, service["serviceName"])
            self._stop(task, outcome.exit, outcome.reason, outcome.code)
            if primary["failedTasks"] == 3:
                self._break(service, primary)

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
            "_ends": None if service else self.now + min(outcome.after, 2.0),
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

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Answer through the load balancer, as what the api runs would."""
        outcome = self.outcomes.get(self.running("api").rpartition("@")[2], Outcome())
        if path == "/version":
            return 200, {"commit": outcome.version}
        body = {"status": "pass"} if outcome.healthy else {"status": "fail", "checks": {"db": [{"status": "fail"}]}}
        return 200 if outcome.healthy else 503, body


def definition(name: str, image: str) -> dict[str, Any]:
    """Return a task definition as Terraform gives it."""
    return {
        "family": f"shop-{name}",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/shop-execution",
        "containerDefinitions": [
            {
                "name": name,
                "image": image,
                "portMappings": [{"containerPort": 4000}],
                "environment": [{"name": "STACK", "value": "shop"}, {"name": "EMPTY", "value": ""}],
                "secrets": [
                    {"name": "PASSWORD", "valueFrom": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/shop/staging/password"}
                ],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": f"/shop/{name}",
                        "awslogs-region": REGION,
                        "awslogs-stream-prefix": "ecs",
                    },
                },
            }
        ],
    }


def _shown(task: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in task.items() if not key.startswith("_")}
