"""What is asked without a key: below /_alb/ a load balancer answers it, below /v4/ a task's metadata, or nobody.

ministack itself would take what neither knows for a call of an API: headers and query decide there, not the path.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any, NamedTuple

from ministack import app
from ministack.core import responses
from ministack.core.sigv4 import decode_header_value
from ministack.services import alb, ecs, ecs_metadata

from stackhand.rehearsal.ministack.guard import METADATA
from stackhand.system import http

NOBODY = 404, {"Content-Type": "text/plain"}, b"there is no load balancer of that name\n"


async def public(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer what needs no key, as an ASGI application."""
    if scope["path"].startswith(METADATA):
        answer = await ecs_metadata.handle_request(scope["method"], scope["path"], {}, b"", {})
        await app._send_if_handled(send, answer, receive)
    else:
        await _balance(scope, receive, send)


async def _balance(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send a request on to a task."""
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        text = decode_header_value(value)
        headers[name] = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{text}" if name in headers else text
    responses.set_request_account_id("")  # and not one that the request names
    responses.set_request_region(None)
    query = scope.get("query_string", b"").decode("latin-1")
    try:
        body = await app._read_request_body(receive, scope["method"], headers)
    except (app._RequestBodyDisconnected, app._IncompleteRequestBody):
        return
    answer = await app._handle_alb_request(
        headers.get("host", ""),
        scope["path"],
        scope["method"],
        headers,
        body,
        app.parse_qs(query, keep_blank_values=True),
        query,
        scope["raw_path"].decode("ascii") if scope.get("raw_path") else None,
    )
    await app._send_if_handled(app._with_date_header(send), answer or NOBODY, receive)


EVERY = 0.25
ANSWERS_WITHIN = 5.0
STARTS_WITHIN = 60.0
"""How long a target may refuse connections at first: what AWS calls the grace period."""
HEALTHY, INITIAL, UNHEALTHY = "healthy", "initial", "unhealthy"
HEALTHY_AFTER, UNHEALTHY_AFTER = 2, 3
DRAINS = 3.0
"""How long a task that leaves its target group still answers: AWS calls it the deregistration delay."""


class HealthTarget(NamedTuple):
    """A task's address in a target group."""

    group: str
    address: str
    port: int


_states: dict[HealthTarget, str] = {}
_reasons: dict[HealthTarget, str] = {}
_leaving: set[str] = set()
_lock = threading.RLock()
_publish: Callable[..., bool] = alb.set_targets_for_group
_is_stable: Callable[..., None] = ecs._record_service_task_healthy
_clean_up: Callable[..., None] = ecs._cleanup_task_resources
_stop: Callable[..., Any] = ecs._stop_task


def set_targets(group: str, targets: Sequence[tuple[str, int]], previous: Sequence[str] = ()) -> bool:
    """Take over the tasks of a service: each gets requests once it has answered its health check."""
    with _lock:
        wanted = [HealthTarget(group, address, port) for address, port in targets]
        for gone in [each for each in _states if each.group == group and each not in wanted]:
            if _states.pop(gone) == HEALTHY:
                _leaving.add(gone.address)
        for new in [each for each in wanted if each not in _states]:
            _states[new] = INITIAL
            threading.Thread(target=_watch, args=(new,), daemon=True).start()
        return _publish(group, [each[1:] for each in wanted if _states[each] == HEALTHY], previous)


def _watch(target: HealthTarget) -> None:
    """Ask a target until it is healthy or not, and from then on, as long as it is registered."""
    began, good, bad = time.monotonic(), 0, 0
    while target in _states:
        told = _ask(target)
        good, bad = (good + 1, 0) if told == "200" else (0, bad + 1)
        starting = _states.get(target) == INITIAL and not told.isdigit() and time.monotonic() < began + STARTS_WITHIN
        if good >= HEALTHY_AFTER:
            _becomes(target, HEALTHY, "")
        elif bad >= UNHEALTHY_AFTER and not starting:
            _becomes(target, UNHEALTHY, f"Health checks failed with these codes: [{told}]" if told.isdigit() else told)
        time.sleep(EVERY)


def _ask(target: HealthTarget) -> str:
    path = alb._tgs.get(target.group, {}).get("HealthCheckPath", "/")
    try:
        return str(http.get(f"http://{target.address}:{target.port}{path}", timeout=ANSWERS_WITHIN).status)
    except TimeoutError:
        return "Request timed out"
    except (OSError, HTTPException):
        return "Health checks failed"


def _becomes(target: HealthTarget, state: str, reason: str) -> None:
    with _lock:
        if _states.get(target) in {None, state}:
            return
        _states[target], _reasons[target] = state, reason
        mine = [each for each in _states if each.group == target.group]
        healthy = [each[1:] for each in mine if _states[each] == HEALTHY]
        _publish(target.group, healthy, [each.address for each in mine])


def record_task(service: str, task: dict[str, Any]) -> None:
    """Count a task as started once the load balancer finds it healthy; when it does not, stop it as a failed one."""
    ecs_service = ecs._services.get(service) or {}
    targets = [
        HealthTarget(each["targetGroupArn"], ecs._task_ip(task), int(each["containerPort"]))
        for each in ecs_service.get("loadBalancers") or []
        if each.get("targetGroupArn")
    ]
    for target in targets:
        while task.get("lastStatus") == "RUNNING" and _states.get(target, INITIAL) == INITIAL:
            time.sleep(EVERY / 2)
        if _states.get(target) == UNHEALTHY:
            _fail(task, f"Task failed ELB health checks in (target-group {target.group}): {_reasons[target]}")
            return
    _is_stable(service, task)


def _fail(task: dict[str, Any], reason: str) -> None:
    if ecs._mark_task_stopped(task["taskArn"], task, reason, "ServiceSchedulerInitiated"):
        ecs._cleanup_task_resources(task, ecs._get_docker())
        ecs._record_service_task_failure(task)


def stop_task(data: dict[str, Any]) -> Any:
    """Stop a task; where one has to make room, one that nobody asks yet, as at ECS, and not the oldest."""
    if data.get("reason") == "Deployment capacity limit":
        data = {**data, "task": _least_missed(data["task"])}
    return _stop(data)


def _least_missed(chosen: str) -> str:
    task = ecs._tasks[chosen]
    name = f"{ecs._cluster_name_from_arn(task['clusterArn'])}/{task['group'].partition(':')[2]}"
    primary = ecs._primary_deployment(ecs._services[name]) or {}
    healthy = {each.address for each, state in list(_states.items()) if state == HEALTHY}
    for arn, each in list(ecs._tasks.items()):
        same = each.get("group") == task["group"] and each.get("clusterArn") == task["clusterArn"]
        stale = each.get("_deployment_id") != primary.get("id") and each.get("lastStatus") in ecs._PRE_STOP_STATUSES
        if same and stale and ecs._task_ip(each) not in healthy:
            return str(arn)
    return chosen


def clean_up(task: dict[str, Any], *rest: Any) -> None:
    """Stop a task's containers; those that had requests until now are given time to answer them."""
    address = ecs._task_ip(task)
    if address in _leaving:
        time.sleep(DRAINS)
        _leaving.discard(address)
    _clean_up(task, *rest)


def describe(parameters: dict[str, Any]) -> Any:
    """Answer DescribeTargetHealth."""
    group = alb._p(parameters, "TargetGroupArn")
    members = "".join(
        f"<member><Target><Id>{each.address}</Id><Port>{each.port}</Port></Target><TargetHealth><State>{state}</State>"
        + (
            f"<Reason>Target.FailedHealthChecks</Reason><Description>{_reasons[each]}</Description>"
            if state == UNHEALTHY
            else ""
        )
        + "</TargetHealth></member>"
        for each, state in list(_states.items())
        if each.group == group
    )
    message = f"<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"
    return alb._xml(200, "DescribeTargetHealth", message)
