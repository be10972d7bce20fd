"""The tasks that a deploy starts, as the plan describes them."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import boto3
import pytest
from botocore.validate import ParamValidator

from service.settings import Settings
from stackhand.release import target
from stackhand.system import ports
from tests.checkout import ROOT
from tests.cloud.strict import Strict
from tests.terraform.plans import Plan, resources, tasks

pytestmark = [pytest.mark.xdist_group("terraform-plans"), pytest.mark.timeout(400)]


def test_the_template_has_all_that_the_service_needs(applied: Plan) -> None:
    """Starts the service's own check with exactly that environment: it gets as far as asking itself."""
    given = environment_of(tasks(applied)["api"])
    database = next(iter(resources(applied, "aws_db_instance").values()))
    cache = next(iter(resources(applied, "aws_elasticache_replication_group").values()))
    assert given["DATABASE_URL"].startswith(
        f"postgresql://stackhand-api@{database['address']}:{database['port']}/stackhand?"
    )
    assert given["REDIS_URL"] == f"rediss://{cache['primary_endpoint_address']}:6379/0"
    assert "/app/service/rds.pem" in given["DATABASE_URL"]
    # in the image service/ is below /app
    environment = {key: value.replace("/app/service", str(ROOT / "service")) for key, value in given.items()}
    settings = Settings.from_environment(environment)
    assert settings.database.tls
    assert settings.cache.tls
    assert settings.metrics_emf
    assert settings.database.password == "from-DATABASE_PASSWORD"
    assert settings.owner is None
    assert "from-POSTGRES_PASSWORD" not in given.values()
    assert settings.cache.password == "from-REDIS_PASSWORD"
    assert settings.details_token == "from-HEALTH_DETAILS_TOKEN"
    assert settings.notes_token == "from-NOTES_TOKEN"
    assert settings.allowed_hosts == ("api", "web", "*")  # without a domain, any name may point at the load balancer
    assert settings.environment == "staging"
    assert settings.stack == "stackhand-staging"
    assert settings.health_targets == (("web", "http://web:3000/healthz"),)
    port = next(port for port in range(17_000, 18_000) if ports.is_free(port))
    words = [sys.executable, "-m", "service", "check"]
    said = subprocess.run(
        words, cwd=ROOT, env={**environment, "PORT": str(port)}, capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stderr.split(":")[0]) == (1, "no answer"), said.stderr


def environment_of(task: Plan) -> dict[str, str]:
    """Return what a task's container has in its environment, each secret by its parameter's name."""
    container = task["task_definition"]["containerDefinitions"][0]
    plain = {each["name"]: each["value"] for each in container["environment"]}
    return plain | {each["name"]: f"from-{each['valueFrom'].rpartition('/')[2]}" for each in container["secrets"]}


def test_the_job_that_migrates_has_the_owners_password_and_nothing_of_a_service(applied: Plan) -> None:
    job = applied["outputs"]["release"]["value"]["jobs"]["migrate"]
    assert (job["image_of"], job["services"], job["timeout"]) == ("api", ["api"], None)
    container = job["task_definition"]["containerDefinitions"][0]
    assert (container["image"], container["command"]) == ("IMAGE", ["python", "-m", "service", "migrate"])
    assert (container["portMappings"], container["readonlyRootFilesystem"]) == ([], True)
    assert "healthCheck" not in container
    given = {key: value.replace("/app/service", str(ROOT / "service")) for key, value in environment_of(job).items()}
    settings = Settings.from_environment(given, cache=False)
    assert settings.owner
    assert (settings.owner.user, settings.owner.password) == ("stackhand", "from-POSTGRES_PASSWORD")
    assert settings.owner.tls
    assert (settings.database.user, settings.database.password) == ("stackhand-api", "from-DATABASE_PASSWORD")
    assert [value for value in given.values() if value.startswith("from-")] == [
        "from-DATABASE_PASSWORD",
        "from-POSTGRES_PASSWORD",
    ]
    services = {each["task_definition"]["executionRoleArn"] for each in tasks(applied).values()}
    assert job["task_definition"]["executionRoleArn"] not in services
    assert not any("migrate" in address for address in resources(applied, "aws_ecs_service"))


def test_a_deploy_is_told_all_that_the_contract_has(applied: Plan) -> None:
    release = applied["outputs"]["release"]["value"]
    whole = {"stack", "environment", "region", "account", "url", "cluster", "architecture", "services", "jobs"}
    assert set(release) == whole
    each = {"service", "container", "repository", "task_definition", "target_group", "port", "health_path", "paths"}
    each |= {
        "subnets",
        "security_groups",
        "log_group",
        "log_stream_prefix",
        "min",
        "max",
        "migrate",
        "migrate_timeout",
        "probe",
        "connection",
        "host",
    }
    for service in tasks(applied).values():
        assert set(service) == each
        assert service["target_group"].startswith("arn:")
        assert set(service["repository"]) == {"name", "url"}
        assert len(service["subnets"]) == 2
    assert {each["migrate"] for each in tasks(applied).values()} == {None}  # the job does
    client = boto3.client("ecs", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    shape = client.meta.service_model.operation_model("UpdateService").input_shape
    for service in tasks(applied).values():
        network = target.parse(release).services[service["container"]].network()
        called = {"service": service["service"], **network}
        assert Strict().validate(called, shape).generate_report() == ""
    assert tasks(applied)["api"]["probe"] == {"path": "/health/all", "version": "/version"}


def test_a_template_is_what_ecs_registers(applied: Plan) -> None:
    """boto3 knows the shape of the call; nobody is called."""
    client = boto3.client("ecs", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    shape = client.meta.service_model.operation_model("RegisterTaskDefinition").input_shape
    for name, service in tasks(applied).items():
        template = service["task_definition"]
        assert ParamValidator().validate(template, shape).generate_report() == ""
        container = template["containerDefinitions"][0]
        assert container["image"] == "IMAGE"
        assert container["name"] == service["container"] == name
        assert not container["readonlyRootFilesystem"]  # staging has exec, whose agent writes there
        assert container["linuxParameters"]["initProcessEnabled"]
        assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
        assert [each["containerPath"] for each in container["linuxParameters"]["tmpfs"]] == ["/tmp"]
        assert container["stopTimeout"] == 15
        assert container["healthCheck"]["startPeriod"] == 60
        assert container["logConfiguration"]["options"]["awslogs-stream-prefix"] == service["log_stream_prefix"]
        assert container["logConfiguration"]["options"]["awslogs-group"] == service["log_group"]
        assert template["networkMode"] == "awsvpc"
        assert template["runtimePlatform"]["cpuArchitecture"] == "ARM64"


@pytest.mark.parametrize("file", ["service/Dockerfile", "web/Dockerfile"])
def test_the_images_do_not_run_as_root(file: str) -> None:
    users = re.findall(r"^USER (\S+)", (ROOT / file).read_text(encoding="utf-8"), re.M)
    assert users
    assert not users[-1].startswith(("0", "root"))


def test_health_checks_are_shallow_and_scaling_has_its_defaults(applied: Plan) -> None:
    checks = {
        each["name"]: each["health_check"][0]["path"] for each in resources(applied, "aws_lb_target_group").values()
    }
    assert checks == {"stackhand-staging-api": "/health", "stackhand-staging-web": "/healthz"}
    for name in ("api", "web"):
        target = resources(applied, "aws_appautoscaling_target")[f'aws_appautoscaling_target.service["{name}"]']
        assert (target["min_capacity"], target["max_capacity"]) == (1, 3)
    policies = resources(applied, "aws_appautoscaling_policy").values()
    aims = sorted(each["target_tracking_scaling_policy_configuration"][0]["target_value"] for each in policies)
    assert aims == [60, 60, 70, 70]


def test_an_image_that_a_rollback_needs_is_never_expired(staging: Plan) -> None:
    for policy in resources(staging, "aws_ecr_lifecycle_policy").values():
        rules = json.loads(policy["policy"])["rules"]
        by_age = [rule for rule in rules if rule["selection"]["countType"] == "sinceImagePushed"]
        assert [rule["selection"]["tagStatus"] for rule in by_age] == ["untagged"]
        kept = [
            rule["selection"]["countNumber"] for rule in rules if rule["selection"]["countType"] == "imageCountMoreThan"
        ]
        assert kept == [60]  # each image has its signature beside it
    assert {each["image_tag_mutability"] for each in resources(staging, "aws_ecr_repository").values()} == {"IMMUTABLE"}
