"""What AWS refuses, the rehearsal's AWS refuses too; asked in the emulator's own environment, without a server."""

from __future__ import annotations

import asyncio
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stackhand.cli import packages
from stackhand.rehearsal.emulator import PYTHON
from stackhand.rehearsal.ministack.guard import Throttle
from tests.checkout import ROOT

SCRIPT = """
import json, socket, struct, time
from ministack.services import alb, ecs, iam, ssm
from stackhand.rehearsal.ministack import containers, encryption, refusals

def told(answer):
    body = answer[2]
    text = body.decode() if isinstance(body, bytes) else str(body)
    return f"{answer[0]} {text}"

said = {}
ecs._create_cluster({"clusterName": "shop"})
container = {"name": "api", "image": "x", "portMappings": [{"containerPort": 4000}], "readonlyRootFilesystem": True}
first = {"family": "api", "containerDefinitions": [container], "taskRoleArn": "arn:aws:iam::0:role/t"}
ecs._register_task_definition(first)
balancer = {"targetGroupArn": "arn:group", "containerName": "api", "containerPort": 5000}
asked = {"cluster": "shop", "serviceName": "api", "taskDefinition": "api", "desiredCount": 0}
said["grace"] = told(refusals.create_service({**asked, "healthCheckGracePeriodSeconds": 60}))
said["create"] = told(refusals.create_service({**asked, "loadBalancers": [balancer]}))
good = {**balancer, "containerPort": 4000}
said["created"] = told(refusals.create_service({**asked, "loadBalancers": [good]}))
given = {"cluster": "shop", "service": "api"}
said["port"] = told(refusals.update_service({**given, "loadBalancers": [balancer]}))
other = {**container, "portMappings": [{"containerPort": 5000}]}
ecs._register_task_definition({"family": "api", "containerDefinitions": [other]})
said["definition"] = told(refusals.update_service({**given, "taskDefinition": "api:2"}))
said["both"] = told(refusals.update_service({**given, "taskDefinition": "api:2", "loadBalancers": [balancer]}))
said["container"] = told(refusals.update_service({**given, "loadBalancers": [{**balancer, "containerName": "web"}]}))
said["empty"] = told(refusals.put_parameter({"Name": "/shop/x", "Value": "", "Type": "String"}))
said["value"] = told(refusals.put_parameter({"Name": "/shop/x", "Value": "1", "Type": "String"}))
group = refusals.short("CreateTargetGroup", alb._create_tg)
said["long"] = told(group({"Name": ["x" * 33]}))
said["underscore"] = told(group({"Name": ["shop_api"]}))
database = refusals.short("CreateDBInstance", lambda _given: (200, {}, ""))
said["database"] = told(database({"DBInstanceIdentifier": ["shop-shop_db"]}))
said["a database"] = told(database({"DBInstanceIdentifier": ["shop-shop-db"]}))
said["reserved"] = told(refusals.short("CreateLoadBalancer", alb._create_lb)({"Name": ["internal-shop"]}))
group({"Name": ["shop"]})
arn = next(iter(alb._tgs))
alb._rules["rule"] = {"Actions": [{"TargetGroupArn": arn}]}
said["in use"] = told(refusals.delete_target_group({"TargetGroupArn": [arn]}))
alb._rules.pop("rule")
said["deleted"] = told(refusals.delete_target_group({"TargetGroupArn": [arn]}))
refusals._create_role = refusals._run = lambda _given: (200, {}, "")
refusals.create_role({"RoleName": ["t"]})
said["new role"] = told(refusals.run_task({"cluster": "shop", "taskDefinition": "api:1"}))
refusals.NEW = 0.0
said["known role"] = told(refusals.run_task({"cluster": "shop", "taskDefinition": "api:1"}))
cluster = ecs._clusters["shop"]["clusterArn"]
definition = next(each["taskDefinitionArn"] for each in ecs._task_defs.values() if each["revision"] == 1)
task = {"taskArn": cluster.replace("cluster/", "task/") + "/1", "clusterArn": cluster, "containers": []}
ecs._tasks[task["taskArn"]] = {**task, "taskDefinitionArn": definition, "enableExecuteCommand": True}
said["exec"] = told(refusals.execute_command({"cluster": "shop", "task": task["taskArn"], "command": "sh"}))
ecs._task_defs["api:1"]["containerDefinitions"][0]["readonlyRootFilesystem"] = False
said["role"] = told(refusals.execute_command({"cluster": "shop", "task": task["taskArn"], "command": "sh"}))
statement = {"Effect": "Allow", "Action": [f"ssmmessages:{verb}" for verb in refusals.SHELL], "Resource": "*"}
iam._roles["t"] = {"InlinePolicies": {"exec": json.dumps({"Statement": [statement]})}}
containers.YOUNG, containers.WHILE_YOUNG, containers.LATER = 0.3, 0.1, 60.0
looks = []
containers._mark_stopped = lambda task, *rest: looks.append(task["taskArn"])
end = time.monotonic() + 0.8
while time.monotonic() < end:
    containers.mark_stopped({"taskArn": "job"})
    time.sleep(0.01)
containers.mark_stopped({"taskArn": "another"})
said["looks"] = " ".join(looks)
said["shell"] = told(refusals.execute_command({"cluster": "shop", "task": task["taskArn"], "command": "sh"}))
database = socket.create_server(("127.0.0.1", 0))
server = encryption.TlsServer.start(*database.getsockname())
def greeted(code):
    with socket.create_connection(server.server_address) as client:
        client.sendall(struct.pack("!ii", 8, code))
        return client.recv(99).decode(errors="replace")
said["in clear"] = greeted(3 << 16)
said["encrypted"] = greeted(encryption.SSL_REQUEST)
print(json.dumps(said))
"""
WANTED = {
    "grace": "only valid for services configured to use load balancers",
    "create": "The container api did not have a container port 5000 defined.",
    "created": "200",
    "port": "The container api did not have a container port 5000 defined.",
    "definition": "The container api did not have a container port 4000 defined.",
    "both": "200",
    "container": "The container web does not exist in the task definition.",
    "empty": "Member must have length greater than or equal to 1",
    "value": "200",
    "long": "has more than 32 letters",
    "underscore": "'shop_api' has more than 32 letters, or is reserved or wrong",
    "database": "'shop-shop_db' has more than 63 letters, or is reserved or wrong",
    "a database": "200",
    "reserved": "is reserved",
    "in use": "ResourceInUse",
    "deleted": "200",
    "new role": "ECS was unable to assume the role",
    "known role": "200",
    "exec": "execute command was not enabled",
    "role": "execute command was not enabled",
    "shell": "200",
    "in clear": "no encryption",
    "encrypted": "S",
}


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What the emulator answers to each request."""
    packages.MINISTACK.ensure()
    done = subprocess.run(
        [str(PYTHON), "-c", SCRIPT],
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
            "GATEWAY_PORT": "1",
            "REHEARSAL_GATEWAY": "127.0.0.1",
            "REHEARSAL_KEY": "k",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.mark.xdist_group("refusals")
def test_containers_are_looked_at_less_often_the_longer_a_task_runs(said: dict[str, str]) -> None:
    looks = said["looks"].split()
    assert looks[-1] == "another"
    assert 1 < looks.count("job") < 6


@pytest.mark.xdist_group("refusals")
@pytest.mark.parametrize("case", WANTED)
def test_what_aws_refuses_is_refused_and_nothing_else(said: dict[str, str], case: str) -> None:
    assert WANTED[case] in said[case]


def test_reads_are_throttled_at_random_and_with_one_seed_always_the_same() -> None:
    def throttled(target: bytes, share: float, seed: int = 1) -> list[bool]:
        answers: list[Any] = []

        async def application(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200})

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answers.append(message["status"] == 400)

        throttle = Throttle(application, seed, share)
        scope = {"type": "http", "headers": [(b"X-Amz-Target", target)]}

        async def ask() -> None:
            for _ in range(200):
                await throttle(scope, None, send)  # type: ignore[arg-type] # nobody receives

        with ThreadPoolExecutor(1) as thread:  # this one may have a loop of a browser's
            thread.submit(asyncio.run, ask()).result()
        assert throttle.refused == sum(answers)
        return answers

    found = throttled(b"AmazonEC2ContainerServiceV20141113.DescribeServices", 0.5)
    assert 1 < sum(found) < 11
    first = found.index(True)
    assert not any(found[first + 1 : first + 21])  # who asks again is answered
    assert found == throttled(b"AmazonEC2ContainerServiceV20141113.DescribeServices", 0.5)
    assert not any(throttled(b"AmazonEC2ContainerServiceV20141113.UpdateService", 0.5))
