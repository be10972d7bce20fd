"""Whole plans: what one more service changes, where everything stands, what it costs."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
import yaml

from stackhand.infrastructure import cost
from stackhand.infrastructure.plan import concerns_of, summary
from tests.checkout import ROOT
from tests.terraform.conftest import GITHUB, Module
from tests.terraform.plans import Plan, addresses, resources, typed

pytestmark = [pytest.mark.xdist_group("terraform-plans"), pytest.mark.timeout(400)]
DOCS = {
    "build": "./docs",
    "ports": ["8000"],
    "x-health": "/docs/up",
    "x-aws": {"paths": ["/docs/*"]},
}


def test_one_more_service_changes_the_plan_by_its_own_resources(module: Module, staging: Plan) -> None:
    file = module.path.parent / "more" / "docker-compose.yml"
    file.parent.mkdir()
    (file.parent / ".env.example").write_text((module.path.parent / ".env.example").read_text(encoding="utf-8"))
    document = yaml.safe_load((module.path.parent / "docker-compose.yml").read_text(encoding="utf-8"))
    document["services"]["docs"] = DOCS
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    plan = module.plan("staging", afresh=True, compose="more")
    more = addresses(plan) - addresses(staging)
    assert addresses(staging) <= addresses(plan)
    assert {re.sub(r"\[.*", "", each) for each in more} == {
        "aws_appautoscaling_policy.service",
        "aws_appautoscaling_target.service",
        "aws_cloudwatch_log_group.service",
        "aws_cloudwatch_metric_alarm.main",
        "aws_ecr_lifecycle_policy.service",
        "aws_ecr_repository.service",
        "aws_ecs_service.main",
        "aws_ecs_task_definition.placeholder",
        "aws_iam_role.task",
        "aws_iam_role_policy.exec",
        "aws_lb_listener_rule.path",
        "aws_lb_target_group.service",
        "aws_security_group.service",
        "aws_vpc_security_group_egress_rule.load_balancer_to_service",
        "aws_vpc_security_group_egress_rule.service_to_internet",
        "aws_vpc_security_group_ingress_rule.service_from_load_balancer",
    }
    assert all("docs" in each for each in more)
    priorities = {key: each["priority"] for key, each in resources(staging, "aws_lb_listener_rule").items()}
    after = {key: each["priority"] for key, each in resources(plan, "aws_lb_listener_rule").items()}
    assert {key: after[key] for key in priorities} == priorities


def database(plan: Plan) -> dict[str, Any]:
    """Return what a plan does with the database."""
    return next(each for each in plan["resource_changes"] if each["type"] == "aws_db_instance")


def test_a_new_database_starts_from_the_snapshot_that_the_environment_names(module: Module, applied: Plan) -> None:
    name = "stackhand-staging-postgres-final-20260131-120000"
    given: dict[str, Any] = {**GITHUB, "snapshot_identifiers": {"postgres": name}}
    only = ["-refresh=false", "-target=aws_ssm_parameter.database"]
    assert applied["root_module"]
    there = database(module.plan("staging", more=only, **given))
    assert there["change"]["actions"] == ["no-op"]  # what is there stays as it is, whatever is named
    plan = module.plan("staging", more=[*only, '-replace=aws_db_instance.main["postgres"]'], **given)
    assert database(plan)["change"]["actions"] == ["delete", "create"]
    assert database(plan)["change"]["after"]["snapshot_identifier"] == name
    secret = next(each for each in plan["resource_changes"] if each["type"] == "aws_ssm_parameter")
    assert secret["change"]["actions"] == ["delete", "create"]  # for the new database has a new password


def test_what_outlives_the_environment_is_not_encrypted_with_its_key(staging: Plan) -> None:
    resources = staging["configuration"]["root_module"]["resources"]
    expressions = next(each for each in resources if each["type"] == "aws_db_instance")["expressions"]
    assert "kms_key_id" not in expressions
    assert expressions["storage_encrypted"] == {"constant_value": True}


def test_every_resource_stands_in_a_file_that_says_what_it_is_about(staging: Plan, production: Plan) -> None:
    for plan in (staging, production):
        found = summary(typed(plan), concerns_of(ROOT / "terraform"))
        assert {each.action for each in found.changes} == {"create"}
        assert "no longer in the files" not in found.concerns
    assert {"network", "security groups", "database", "github"} <= set(found.concerns)


def test_the_cost_table_is_what_the_plans_cost(staging: Plan, production: Plan) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name, plan in (("staging", staging), ("production", production)):
        found = cost.estimate(typed(plan))
        assert found.unknown == []
        assert f"| **{name}** | **${found.month:.0f}** |" in text, f"{name}: ${found.month:.0f}\n{found.lines}"


def test_nothing_is_left_of_this_machine(staging: Plan) -> None:
    assert str(ROOT.parent) not in json.dumps(staging["planned_values"])
    assert os.uname().nodename not in json.dumps(staging["planned_values"])
