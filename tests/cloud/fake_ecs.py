"""An ECS of our own: a state machine with a clock that tests turn, for what neither moto nor an emulator can do.

What a deployment does is decided by the image of its task definition: see `Outcome`.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

from tests.cloud.fake_refusals import Accepted, Lost, Refused, require_port, require_port_names
from tests.cloud.fake_rollout import ACCOUNT, ARN, BREAKER, REGION, Outcome, Rollouts


class World(Rollouts):
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
        self.paths: set[str] = set()  # that the services have; all of them when it is empty
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

    def delete(self, name: str) -> None:
        """Delete a service, as Terraform would; ECS still describes it for a while."""
        self.services[f"shop-{name}"] |= {"status": "INACTIVE", "desiredCount": 0, "deployments": []}

    def scale(self, name: str, desired: int) -> None:
        """Scale a service, at once."""
        service = self.services[f"shop-{name}"]
        service |= {"desiredCount": desired, "runningCount": desired}
        for each in service["deployments"]:
            each |= {"desiredCount": desired, "runningCount": desired}

    def start(self, name: str) -> str:
        """Have a task of a service run, and return its id."""
        service = self.services[f"shop-{name}"]
        task = self._task(self._primary(service)["taskDefinition"], "ecs-svc/1", {}, f"shop-{name}")
        task["lastStatus"] = "RUNNING"
        return str(task["taskArn"]).rpartition("/")[2]

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
                if service["deployments"]:
                    self._advance(service)

    # what AWS's clients ask for

    def call(self, operation: str, words: dict[str, Any]) -> dict[str, Any]:
        """Answer one call."""
        self.calls.append((operation, words))
        error = self.errors[operation].pop(0) if self.errors.get(operation) else Accepted()
        if not isinstance(error, Accepted | Lost):
            raise error
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
        found: dict[str, Any] = getattr(self, name)(words)
        if isinstance(error, Lost):
            raise error
        return found

    def register_task_definition(self, words: dict[str, Any]) -> dict[str, Any]:
        revision = 1 + sum(each["family"] == words["family"] for each in self.definitions.values())
        arn = f"{ARN}:task-definition/{words['family']}:{revision}"
        found = copy.deepcopy(words) | {"taskDefinitionArn": arn, "revision": revision, "status": "ACTIVE"}
        found.setdefault("enableFaultInjection", False)
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

    def list_services(self, words: dict[str, Any]) -> dict[str, Any]:
        known = [name for name, each in self.services.items() if each["status"] == "ACTIVE"]
        return {"serviceArns": [f"{ARN}:service/{words['cluster']}/{name}" for name in known]}

    def update_service(self, words: dict[str, Any]) -> dict[str, Any]:
        service = self.services.get(words["service"])
        if service is None:
            raise Refused("ServiceNotFoundException", "Service not found.")
        if service["status"] != "ACTIVE":
            raise Refused("ServiceNotActiveException", "Service was not ACTIVE.")
        self.stale = [copy.deepcopy(self.services)]
        wanted = words.get("taskDefinition") or self._primary(service)["taskDefinition"]
        if self.definitions[wanted]["status"] != "ACTIVE":
            raise Refused("ClientException", "TaskDefinition is inactive")
        service["loadBalancers"] = words.get("loadBalancers", service.get("loadBalancers", []))
        for each in service["loadBalancers"]:
            require_port(self.definitions[wanted], each)
        before = service.get("_connection", {"enabled": False})
        service["_connection"] = words.get("serviceConnectConfiguration", before)
        require_port_names(self.definitions[wanted], service["_connection"])
        another = wanted != self._primary(service)["taskDefinition"] or service["_connection"] != before
        if another or words.get("forceNewDeployment"):
            self._replace(service, wanted)
            service["deployments"][0] |= {"_balancers": service["loadBalancers"], "_connection": service["_connection"]}
        return {"service": copy.deepcopy(service)}

    def run_task(self, words: dict[str, Any]) -> dict[str, Any]:
        if self.refusals:
            return {"tasks": [], "failures": [{"arn": "arn:cluster", "reason": self.refusals.pop(0)}]}
        known = [each for each in self.tasks.values() if each["_token"] == words["clientToken"]]
        task = (
            known[0] if known else self._task(words["taskDefinition"], words.get("startedBy", ""), words["overrides"])
        )
        task["_token"] = words["clientToken"]
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
                if task["_service"] == words.get("serviceName")
                and task["desiredStatus"] == wanted
                and task["startedBy"] == words.get("startedBy", task["startedBy"])
            ]
        }

    def stop_task(self, words: dict[str, Any]) -> dict[str, Any]:
        task = self.tasks[words["task"]]
        self._stop(task, 143, words.get("reason", ""), "UserInitiated")
        return {"task": _shown(task)}

    def execute_command(self, words: dict[str, Any]) -> dict[str, Any]:
        return {"session": {"sessionId": "s-1", "streamUrl": "wss://x", "tokenValue": words["command"]}}

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Answer through the load balancer, as what the api runs would."""
        if self.paths and path not in self.paths:
            return 404, {}
        if not self.services["shop-api"]["desiredCount"]:
            return 503, {}
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
                "healthCheck": {"command": ["CMD", "check"]},
                "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
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
