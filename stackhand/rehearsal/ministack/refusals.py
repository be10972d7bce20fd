"""What AWS refuses and ministack takes: a port that a task has not, empty values, long names, what is in use, a shell.

It runs in the emulator's own environment, like app.py.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import alb, ecs, iam, ssm

Data = Mapping[str, Any]
LETTERS = {
    "CreateTargetGroup": ("Name", 32),
    "CreateLoadBalancer": ("Name", 32),
    "CreateRole": ("RoleName", 64),
    "CreateDBInstance": ("DBInstanceIdentifier", 63),
    "RestoreDBInstanceFromDBSnapshot": ("DBInstanceIdentifier", 63),
    "CreateDBParameterGroup": ("DBParameterGroupName", 255),
    "CreateReplicationGroup": ("ReplicationGroupId", 40),
    "CreateCacheParameterGroup": ("CacheParameterGroupName", 255),
}
"""How many letters a name has at most, and what it is called in the request."""
REFUSED = re.compile(r"internal-|-|.*-$|.*--|.*[^A-Za-z0-9-]")
"""What begins a name that is reserved or wrong; a role's is neither."""
SHELL = ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel")

NEW = 2.0
"""Seconds until ECS knows a new role; on AWS it may be ten or more."""
_made: dict[str, float] = {}

_update: Callable[..., Any] = ecs._update_service
_create: Callable[..., Any] = ecs._create_service
_run: Callable[..., Any] = ecs._run_task
_execute: Callable[..., Any] = ecs._execute_command
_put: Callable[..., Any] = ssm._put_parameter
_delete_group: Callable[..., Any] = alb._delete_tg
_create_role: Callable[..., Any] = iam._create_role


def update_service(data: Data) -> Any:
    """Answer UpdateService: the load balancers, given now or earlier, have to fit what will run."""
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    name = (ecs._resolve_service_ref(data.get("service", "")) or ("",))[0]
    service = ecs._services.get(f"{cluster}/{name}") or {}
    balancers = data.get("loadBalancers", service.get("loadBalancers") or [])
    definition = data.get("taskDefinition") or service.get("taskDefinition", "")
    return _refused(_without_port(balancers, definition)) or _update(data)


def create_service(data: Data) -> Any:
    """Answer CreateService: its load balancers have to fit what runs, and a grace period needs one."""
    balancers = data.get("loadBalancers") or []
    problem = _without_port(balancers, data.get("taskDefinition", ""))
    if data.get("healthCheckGracePeriodSeconds") and not balancers:
        problem = "Health check grace period is only valid for services configured to use load balancers"
    return _refused(problem) or _create(data)


def _without_port(balancers: Sequence[Data], reference: str) -> str:
    """Return why ECS would refuse load balancers of a service; empty when it would not."""
    definition = _definition(reference)
    containers = {each["name"]: each for each in definition.get("containerDefinitions", [])}
    for each in balancers if definition else ():
        name, port = each.get("containerName"), each.get("containerPort")
        if name not in containers:
            return f"The container {name} does not exist in the task definition."
        if port not in [one["containerPort"] for one in containers[name].get("portMappings") or []]:
            return f"The container {name} did not have a container port {port} defined."
    return ""


def create_role(parameters: Data) -> Any:
    """Answer CreateRole, and note when it was made."""
    _made.setdefault(alb._p(parameters, "RoleName"), time.monotonic())
    return _create_role(parameters)


def run_task(data: Data) -> Any:
    """Answer RunTask: a role that was made a moment ago is not known everywhere yet."""
    definition = _definition(data.get("taskDefinition", ""))
    for arn in filter(None, (definition.get(key) for key in ("executionRoleArn", "taskRoleArn"))):
        if time.monotonic() < _made.get(arn.rpartition("/")[2], -NEW) + NEW:
            message = (
                f"ECS was unable to assume the role '{arn}' that was provided for this task. Please verify that the "
                "role being passed has the proper trust relationship and permissions and that your IAM user has "
                "permissions to pass this role."
            )
            return error_response_json("ClientException", message, 400)
    return _run(data)


def execute_command(data: Data) -> Any:
    """Answer ExecuteCommand: the task has to be made for it, writable, and its role has to open the channels."""
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    task = ecs._resolve_task(data.get("task", ""), cluster) or {}
    definition = _definition(task.get("taskDefinitionArn", ""))
    closed = any(each.get("readonlyRootFilesystem") for each in definition.get("containerDefinitions", []))
    role = str(definition.get("taskRoleArn") or "").rpartition("/")[2]
    if task and (not task.get("enableExecuteCommand") or closed or not _may_open(role)):
        return _refused(
            "The execute command failed because execute command was not enabled when the task was run or the "
            "execute command agent isn't running. Wait and try again or run a new task with execute command enabled "
            "and try again."
        )
    return _execute(data)


def _may_open(role: str) -> bool:
    """Whether a role's own policies let a task open the channels of a shell."""
    policies = (iam._roles.get(role) or {}).get("InlinePolicies") or {}
    documents = [json.loads(each) if isinstance(each, str) else each for each in policies.values()]
    actions = [action for each in documents for one in _listed(each["Statement"]) for action in _listed(one["Action"])]
    return all(f"ssmmessages:{verb}" in actions for verb in SHELL)


def put_parameter(data: Data) -> Any:
    """Answer PutParameter: a value is not empty."""
    if not data.get("Value"):
        return error_response_json(
            "ValidationException",
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1.",
            400,
        )
    return _put(data)


def delete_target_group(parameters: Data) -> Any:
    """Answer DeleteTargetGroup: a rule or listener that leads to it keeps it."""
    arn = alb._p(parameters, "TargetGroupArn")
    if any(arn in str(each) for each in (*alb._rules.values(), *alb._listeners.values())):
        return alb._error("ResourceInUse", f"Target group '{arn}' is currently in use by a listener or a rule", 400)
    return _delete_group(parameters)


def short(action: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return what answers an action whose name AWS limits."""
    key, most = LETTERS[action]

    def answered(parameters: Data) -> Any:
        name = alb._p(parameters, key)
        if len(name) > most or (action != "CreateRole" and REFUSED.match(name)):
            return alb._error("ValidationError", f"'{name}' has more than {most} letters, or is reserved or wrong", 400)
        return answer(parameters)

    return answered


def _definition(reference: str) -> Data:
    definition: Data = ecs._task_defs.get(ecs._resolve_td_key(reference) or "") or {}
    return definition


def _refused(problem: str) -> Any:
    return error_response_json("InvalidParameterException", problem, 400) if problem else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
