"""`./inv cloud.exec`: a command in a running task, over ECS Exec."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

from stackhand.aws.errors import failure, message_of
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited
from stackhand.release import status as standing
from stackhand.release.target import Target

PLUGIN = "session-manager-plugin"


def execute(*, environment: str, service: str, command: str) -> None:
    """Become a session in the newest task of a service; does not return.

    Raises:
        Failure: there is no task, ECS Exec is not enabled for it, or its plugin is not here.
    """
    stands = standing.find(environment)
    name = standing.chosen(stands.target, [service])[0]
    if shutil.which(PLUGIN) is None:
        raise Failure(
            f"There is no {PLUGIN} on PATH, and ECS Exec needs it.",
            next="install AWS's Session Manager plugin, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    ecs = stands.environment.client("ecs")
    where = stands.target.services[name]
    task = _newest(ecs, stands.target, name)
    try:
        answer = ecs.execute_command(
            cluster=stands.target.cluster, task=task, container=where.container, command=command, interactive=True
        )
    except Exception as error:
        if "execute command was not enabled" not in message_of(error):
            raise failure(f"The command cannot be run in {name}", error) from error
        raise Failure(
            f"ECS Exec is not enabled for {name}.",
            evidence=[message_of(error)],
            next=f"set exec = true in terraform/environments/{environment}.tfvars, and deploy",
            code=ExitCode.PREFLIGHT,
        ) from error
    if sys.stdin.isatty():
        console.tell(f"in {name}, task {task.rpartition('/')[2][:12]}; exit to come back")
    region = stands.environment.region
    target = {"Target": f"ecs:{stands.target.cluster}_{task.rpartition('/')[2]}"}
    words = [PLUGIN, json.dumps(answer["session"]), region, "StartSession", "", json.dumps(target), _endpoint(region)]
    os.execvpe(PLUGIN, words, inherited.environment("session-manager"))  # noqa: S606 - the very purpose


def _newest(ecs: Any, target: Target, name: str) -> str:
    """Return the task of a service that was started last."""
    try:
        service = target.services[name].service
        arns = ecs.list_tasks(cluster=target.cluster, serviceName=service, desiredStatus="RUNNING")["taskArns"]
        tasks = ecs.describe_tasks(cluster=target.cluster, tasks=arns)["tasks"] if arns else []
    except Exception as error:
        raise failure(f"The tasks of {name} cannot be asked for", error) from error
    running = [each for each in tasks if each.get("lastStatus") == "RUNNING"]
    if not running:
        status = f"./inv cloud.status -e {target.environment}"
        raise Failure(f"No task of {name} runs.", next=status, code=ExitCode.UNHEALTHY)
    return str(max(running, key=lambda each: str(each.get("startedAt") or ""))["taskArn"])


def _endpoint(region: str) -> str:
    return f"https://ssm.{region}.amazonaws.com"
