"""What would make a release fail is found before it writes anything, all of it at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.project.environments import Environment
from stackhand.release import target
from stackhand.release.stages.preflight import Preflight
from tests.cloud.conftest import Cloud
from tests.cloud.fake_rollout import REGION


def problems(cloud: Cloud, output: dict[str, Any], digests: Mapping[str, str]) -> tuple[str, ...]:
    with pytest.raises(Failure) as found:
        Preflight(cloud.environment, target.parse(output), digests).run()
    assert found.value.code == ExitCode.PREFLIGHT
    return found.value.evidence


def test_an_environment_in_order_is_not_held_up(cloud: Cloud) -> None:
    assert Preflight(cloud.environment, target.parse(cloud.output), cloud.image("first")).run() == []


def test_everything_that_is_missing_is_told_together(cloud: Cloud) -> None:
    ec2 = cloud.environment.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    alone = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    cloud.environment.client("iam").create_role(
        RoleName="other", AssumeRolePolicyDocument='{"Statement": [{"Principal": {"Service": "ec2.amazonaws.com"}}]}'
    )
    balancer = cloud.environment.client("elbv2")
    group = balancer.create_target_group(
        Name="other", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance", HealthCheckPath="/"
    )["TargetGroups"][0]["TargetGroupArn"]
    api = cloud.output["services"]["api"]
    definition = api["task_definition"]
    definition["executionRoleArn"] = "arn:aws:iam::123456789012:role/gone"
    definition["taskRoleArn"] = "arn:aws:iam::123456789012:role/other"
    definition["containerDefinitions"][0]["secrets"][0]["valueFrom"] += "-gone"
    api |= {"service": "shop-gone", "log_group": "/shop/gone", "target_group": group, "subnets": [alone]}
    digest = "sha256:" + "f" * 64
    assert problems(cloud, cloud.output, {"api": digest}) == (
        "api: the cluster shop-staging has no active service shop-gone",
        "api: there is no role gone",
        "api: ecs-tasks.amazonaws.com may not assume the role other",
        "api: there is no parameter /shop/staging/password-gone",
        "there is no log group /shop/gone",
        "api: its target group takes instance, but Fargate tasks need ip",
        "api: the load balancer checks /, not /health",
        f"the subnet {alone} has no egress route and its network no endpoints: tasks could not pull images",
        f"api: {api['repository']['name']} has no image {digest}",
    )


def test_a_deleted_subnet_and_security_group_are_named_and_no_missing_route(cloud: Cloud) -> None:
    ec2, api = cloud.environment.client("ec2"), cloud.output["services"]["api"]
    [there] = api["subnets"]
    vpc = ec2.describe_subnets(SubnetIds=[there])["Subnets"][0]["VpcId"]
    gone = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.77.0/24")["Subnet"]["SubnetId"]
    ec2.delete_subnet(SubnetId=gone)
    api |= {"subnets": [there, gone], "security_groups": ["sg-0123"]}
    assert problems(cloud, cloud.output, {}) == (
        f"api: the subnet {gone} no longer exists: somebody deleted it",
        "api: the security group sg-0123 no longer exists: somebody deleted it",
    )
    for each in cloud.output["services"].values():
        each["subnets"] = [gone]
    assert f"web, api: the subnet {gone} no longer exists: somebody deleted it" in problems(cloud, cloud.output, {})


def test_what_we_may_not_look_at_is_noted_and_no_reason_to_stop(cloud: Cloud) -> None:
    cloud.world.fail("DescribeServices", "AccessDeniedException")
    [container] = cloud.output["services"]["web"]["task_definition"]["containerDefinitions"]
    container["image"] = "hub/web:1"
    assert Preflight(cloud.environment, target.parse(cloud.output), {}).run() == [
        "not checked, services: AccessDeniedException: says the test",
        "web: hub/web:1 has no digest: tasks run what its tag points to then",
    ]


def test_a_task_on_other_processors_than_its_image_is_refused(cloud: Cloud) -> None:
    other = {**cloud.output, "architecture": "ARM64"}
    for service in other["services"].values():
        service["task_definition"]["runtimePlatform"] = {"cpuArchitecture": "X86_64"}
    assert problems(cloud, other, {}) == tuple(
        f"{name}: its task definition is for X86_64, but images are built for ARM64" for name in ("web", "api")
    )


def test_credentials_of_another_account_are_refused(cloud: Cloud) -> None:
    with pytest.raises(Failure) as found:
        account.check(Environment("staging", "shop", REGION, "999999999999"))
    assert found.value.code == ExitCode.PREFLIGHT
