"""The emulator holds the container engine's socket: nobody else may use it, and no task becomes root by it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest

from stackhand.rehearsal import emulator
from stackhand.rehearsal.emulator import Emulator
from tests.checkout import docker, eventually
from tests.engines import use

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.xdist_group("emulator")]
REGION = "eu-west-1"
IMAGE = "python:3.13-alpine"
RUN = "AmazonEC2ContainerServiceV20141113.RunTask"
SIGNATURE = "AWS4-HMAC-SHA256 Credential={key}/20260101/eu-west-1/ecs/aws4_request, SignedHeaders=host, Signature=00"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator with nothing in it but a cluster."""
    with use("compose"):
        folder = tmp_path_factory.mktemp("emulator")
        found = emulator.start(folder, REGION)
        try:
            assert (folder / "emulator.json").stat().st_mode & 0o777 == 0o600
            client(found).create_cluster(clusterName="shop")
            yield found
        finally:
            found.stop()


def client(aws: Emulator) -> Any:
    return boto3.client(
        "ecs",
        region_name=REGION,
        endpoint_url=aws.endpoint,
        aws_access_key_id=aws.key,
        aws_secret_access_key=aws.key,
    )


def ask(aws: Emulator, path: str = "/", **headers: str) -> tuple[int, str]:
    """Order a task as a page or another account would, and return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", aws.port, timeout=10)
    body = json.dumps({"cluster": "shop", "taskDefinition": "unheard-of"})
    connection.request(
        "POST", path, body, {"X-Amz-Target": RUN, "Content-Type": "application/x-amz-json-1.1", **headers}
    )
    answer = connection.getresponse()
    assert answer.getheader("Access-Control-Allow-Origin") is None
    return answer.status, answer.read().decode()


def test_neither_a_web_page_nor_another_account_can_order_anything(aws: Emulator) -> None:
    signed = {"Authorization": SIGNATURE.format(key=aws.key)}
    for refused, why in (
        ({}, "key"),
        ({"Authorization": SIGNATURE.format(key="rehearsal")}, "key"),
        ({"Authorization": SIGNATURE.format(key="TASK")}, "role of a task"),
        ({**signed, "Origin": "https://evil.example"}, "web page"),
        ({**signed, "Host": f"evil.example:{aws.port}"}, "address"),
    ):
        status, said = ask(aws, **refused)
        assert (status, why in said) == (403, True), said
    elsewhere = SIGNATURE.format(key="111111111111")  # an account that has no load balancer
    assert ask(aws, "/_alb/shop/", Authorization=elsewhere) == (404, "there is no load balancer of that name\n")
    for path in ("/v4/" + "a" * 43, "/v4/" + "a" * 43 + "?Action=CreateUser&UserName=x", "/v4/x"):
        status, said = ask(aws, path)  # no answer of an API: a task's metadata, of which there is none
        assert (status, "found" in said or "unknown token" in said) == (404, True), said
    assert "Unable to find task definition: unheard-of" in ask(aws, **signed)[1]


def test_a_task_that_asks_for_the_machine_does_not_get_it(aws: Emulator) -> None:
    greedy = {
        "name": "greedy",
        "image": IMAGE,
        "command": ["sleep", "60"],
        "privileged": True,
        "linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}},
        "mountPoints": [{"sourceVolume": "root", "containerPath": "/host"}],
    }
    volumes = [{"name": "root", "host": {"sourcePath": "/"}}]
    more = {"volumes": volumes, "pidMode": "host", "networkMode": "host"}
    client(aws).register_task_definition(family="greedy", containerDefinitions=[greedy], **more)
    task = client(aws).run_task(cluster="shop", taskDefinition="greedy")["tasks"][0]["taskArn"]
    mine = ("ps", "--quiet", "--no-trunc", "--filter", f"label=com.amazonaws.ecs.task-arn={task}")
    container = eventually(lambda: docker(*mine).strip(), "the task has a container")
    found = json.loads(docker("inspect", container))[0]
    host = found["HostConfig"]
    assert (host["Privileged"], host["CapAdd"], host["PidMode"]) == (False, None, "")
    assert [each.partition(":")[2] for each in host["Binds"]] == ["/etc/rehearsal-authorities.pem:ro"]
    assert host["NetworkMode"] != "host"
    variables = dict(each.split("=", 1) for each in found["Config"]["Env"])
    assert not any(name.startswith("AWS_CONTAINER_") for name in variables)
    assert aws.key not in variables.values()
    assert (variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]) == ("TASK", "TASK")


def test_no_instance_becomes_a_container(aws: Emulator) -> None:
    """An instance of an image that somebody registered would run on this machine without a task's limits."""
    for order in ({"Action": "RegisterImage", "Name": "x", "ImageLocation": IMAGE}, {"Action": "RunInstances"}):
        signed = {"Authorization": SIGNATURE.format(key=aws.key).replace("/ecs/", "/ec2/")}
        connection = http.client.HTTPConnection("127.0.0.1", aws.port, timeout=10)
        form = {**signed, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/", urlencode({**order, "Version": "2016-11-15"}), form)
        answer = connection.getresponse()
        assert (answer.status, b"InvalidAction" in answer.read()) == (400, True)
