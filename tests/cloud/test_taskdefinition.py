"""What counts as a change of a task definition, and what ECS merely fills in."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.release import target
from stackhand.release.ecs.task_definitions import differences, render
from tests.cloud.conftest import output
from tests.cloud.fake_ecs import definition

DIGEST = "sha256:" + "a" * 64
WANTED = definition("api", f"registry/api@{DIGEST}")


def described(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return a definition as DescribeTaskDefinition gives it back."""
    found = copy.deepcopy(wanted)
    container = found["containerDefinitions"][0]
    container |= {"cpu": 0, "essential": True, "mountPoints": [], "volumesFrom": [], "systemControls": []}
    container["portMappings"] = [{"containerPort": 4000, "hostPort": 4000, "protocol": "tcp"}]
    container["environment"] = list(reversed(container["environment"]))
    return found | {
        "taskDefinitionArn": "arn:aws:ecs:x:1:task-definition/shop-api:7",
        "revision": 7,
        "status": "ACTIVE",
        "requiresAttributes": [{"name": "ecs.capability.secrets.ssm.environment-variables"}],
        "compatibilities": ["EC2", "FARGATE"],
        "registeredAt": 1700000000,
        "registeredBy": "arn:aws:iam::1:user/x",
        "volumes": [],
        "placementConstraints": [],
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "taskRoleArn": "",
        "pidMode": "",
        "ephemeralStorage": None,
        "enableFaultInjection": False,
    }


def test_ecspresso_895_943_1082_action_701_what_ecs_fills_in_is_no_difference() -> None:
    assert differences(described(WANTED), WANTED) == []


def changed(path: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(WANTED)
    if path in found or path == "enableFaultInjection":
        found[path] = value
    else:
        found["containerDefinitions"][0][path] = value
    return found


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("cpu", "512", ["cpu: 256 -> 512"]),
        (
            "image",
            "registry/api@sha256:b",
            [f"containerDefinitions[api].image: registry/api@{DIGEST} -> registry/api@sha256:b"],
        ),
        (
            "environment",
            [{"name": "STACK", "value": "shop"}],
            ['containerDefinitions[api].environment.EMPTY: "" -> nothing'],
        ),
        (
            "environment",
            [{"name": "STACK", "value": "other"}, {"name": "EMPTY", "value": ""}],
            ['containerDefinitions[api].environment.STACK: "shop" -> "other"'],
        ),
        ("readonlyRootFilesystem", True, ["containerDefinitions[api].readonlyRootFilesystem: nothing -> true"]),
        ("enableFaultInjection", True, ["enableFaultInjection: false -> true"]),
        ("stopTimeout", 0, ["containerDefinitions[api].stopTimeout: nothing -> 0"]),
        (
            "executionRoleArn",
            "arn:other",
            ["executionRoleArn: arn:aws:iam::123456789012:role/shop-execution -> arn:other"],
        ),
    ],
)
def test_a_change_is_told_by_its_path(path: str, value: Any, told: list[str]) -> None:
    assert differences(described(WANTED), changed(path, value)) == told


def test_a_health_check_that_says_less_means_ecs_s_own_numbers() -> None:
    said = {"command": ["CMD", "check"], "interval": 30, "timeout": 5, "retries": 3}
    assert (
        differences(described(changed("healthCheck", said)), changed("healthCheck", {"command": ["CMD", "check"]}))
        == []
    )


def test_the_image_is_put_in_by_digest_and_only_where_it_belongs() -> None:
    service = target.parse(output("http://x", "subnet-1")).services["api"]
    service.task_definition["containerDefinitions"].append({"name": "proxy", "image": "somebody/proxy:1"})
    found = render("api", service, {"api": DIGEST})
    images = [each["image"] for each in found["containerDefinitions"]]
    assert images == [f"{service.repository.url}@{DIGEST}", "somebody/proxy:1"]  # type: ignore[union-attr]
    assert service.task_definition["containerDefinitions"][0]["image"] == "IMAGE"


@pytest.mark.parametrize("digests", [{}, {"api": "latest"}], ids=["none", "a tag"])
def test_nothing_is_rendered_without_a_digest(digests: dict[str, str]) -> None:
    with pytest.raises(Failure, match="The task definition of api cannot be created"):
        render("api", target.parse(output("http://x", "subnet-1")).services["api"], digests)


def test_an_output_of_another_shape_is_refused_by_its_path() -> None:
    found = output("http://x", "subnet-1")
    found["services"]["api"]["port"] = "4000"
    with pytest.raises(Failure) as failure:
        target.parse(found)
    assert "$.services[...].port" in failure.value.evidence[0]
