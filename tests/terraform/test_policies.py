"""What GitHub's deploy role may do, asked as IAM would: all with its own environment, nothing with another."""

from __future__ import annotations

import contextlib
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackhand.cli.failure import Failure
from stackhand.project import environments
from tests.terraform import actions
from tests.terraform.conftest import GITHUB, Module
from tests.terraform.iam import Statement, allowed, of_service, statements
from tests.terraform.plans import Plan, resources

pytestmark = [pytest.mark.xdist_group("terraform-plans"), pytest.mark.timeout(400)]
HERE = "eu-west-1:123456789012"
REGION = {"aws__RequestedRegion": "eu-west-1"}
OURS, THEIRS = "staging", "production"
NEW, MINE, ANOTHERS = {"RequestTag": OURS}, {"ResourceTag": OURS}, {"ResourceTag": THEIRS}
STOLEN = NEW | ANOTHERS
PASSED = {"iam__PassedToService": "ecs-tasks.amazonaws.com"}
SCHEDULES = {"iam__PassedToService": "scheduler.amazonaws.com"}
SCALING = f"application-autoscaling:{HERE}:scalable-target"
KINDS = ("aws_iam_policy", "aws_iam_role_policy")

REFUSED: list[tuple[str, str, dict[str, str]]] = [
    # what is there already is not taken over by a tag
    ("ec2:CreateTags", f"ec2:{HERE}:subnet/subnet-1", STOLEN),
    ("ec2:CreateTags", f"ec2:{HERE}:security-group/sg-1", NEW),
    ("kms:TagResource", f"kms:{HERE}:key/1", STOLEN),
    ("kms:TagResource", f"kms:{HERE}:key/1", NEW),
    ("ecs:DeregisterTaskDefinition", "*", {}),
    ("kms:CreateKey", "*", NEW),
    ("application-autoscaling:TagResource", f"{SCALING}/1", STOLEN),
    ("application-autoscaling:RegisterScalableTarget", f"{SCALING}/1", STOLEN),
    # nor is anything else of it touched
    ("application-autoscaling:PutScalingPolicy", f"{SCALING}/1", ANOTHERS),
    ("application-autoscaling:DeregisterScalableTarget", f"{SCALING}/1", {}),
    ("ec2:AuthorizeSecurityGroupIngress", f"ec2:{HERE}:security-group/sg-1", STOLEN),
    ("ec2:CreateSubnet", f"ec2:{HERE}:vpc/vpc-1", STOLEN),
    ("ec2:CreateRoute", f"ec2:{HERE}:route-table/rtb-1", ANOTHERS),
    ("ec2:CreateNatGateway", f"ec2:{HERE}:subnet/subnet-1", STOLEN),
    ("ec2:CreateVpcEndpoint", f"ec2:{HERE}:route-table/rtb-1", STOLEN),
    ("ec2:DeleteTags", f"ec2:{HERE}:subnet/subnet-1", ANOTHERS),
    ("ec2:RunInstances", f"ec2:{HERE}:instance/i-1", NEW),
    ("kms:Decrypt", f"kms:{HERE}:key/1", ANOTHERS),
    ("elasticache:DeleteSnapshot", f"elasticache:{HERE}:snapshot:stackhand-production-redis", {}),
    ("rds:DeleteDBInstance", f"rds:{HERE}:db:stackhand-production-postgres", {}),
    ("rds:RestoreDBInstanceFromDBSnapshot", f"rds:{HERE}:snapshot:rds:stackhand-production-postgres-2026-01-31", {}),
    ("ecr:PutImage", f"ecr:{HERE}:repository/stackhand-production/api", {}),
    ("iam:PassRole", "iam::123456789012:role/stackhand-production-api-task", PASSED),
    ("iam:PassRole", "iam::123456789012:role/stackhand-production-migrate-execution", PASSED),
    ("iam:PutRolePolicy", "iam::123456789012:role/stackhand-staging-github-deploy", {}),
    ("iam:PassRole", "iam::123456789012:role/stackhand-staging-api-task", SCHEDULES),
    ("scheduler:UpdateSchedule", f"scheduler:{HERE}:schedule/stackhand-production/nightly", {}),
    # who may use the key, or whether there is one
    ("kms:CreateGrant", f"kms:{HERE}:key/1", MINE),
    ("kms:CreateGrant", f"kms:{HERE}:key/1", ANOTHERS | {"kms__GrantIsForAWSResource": "true"}),
    ("kms:DeleteImportedKeyMaterial", f"kms:{HERE}:key/1", MINE),
    ("kms:DisableKey", f"kms:{HERE}:key/1", MINE),
    ("kms:PutKeyPolicy", f"kms:{HERE}:key/1", MINE),
    ("kms:ReplicateKey", f"kms:{HERE}:key/1", MINE),
    ("kms:ScheduleKeyDeletion", f"kms:{HERE}:key/1", MINE),
    # what it builds is signed with the key of its own environment, called by an alias that it cannot move
    ("kms:Sign", f"kms:{HERE}:key/1", MINE),
    ("kms:Sign", f"kms:{HERE}:key/1", {"kms__RequestAlias": "alias/stackhand-production-signing"}),
    ("kms:UpdateAlias", f"kms:{HERE}:alias/stackhand-staging-signing", {}),
    ("kms:DeleteAlias", f"kms:{HERE}:alias/stackhand-staging-signing", {}),
    ("kms:TagResource", f"kms:{HERE}:key/1", {"kms__RequestAlias": "alias/stackhand-staging-signing"}),
    # the only copies of data, and whom they are shared with
    ("rds:DeleteDBInstanceAutomatedBackup", f"rds:{HERE}:db:stackhand-staging-postgres", {}),
    ("rds:DeleteDBSnapshot", f"rds:{HERE}:snapshot:stackhand-staging-postgres-final-1", {}),
    ("rds:ModifyDBSnapshotAttribute", f"rds:{HERE}:snapshot:stackhand-staging-postgres-final-1", {}),
    ("rds:StartExportTask", f"rds:{HERE}:snapshot:stackhand-staging-postgres-final-1", {}),
    # who may become the roles of tasks
    ("iam:UpdateAssumeRolePolicy", "iam::123456789012:role/stackhand-staging-api-task", {}),
]  # fmt: skip
ALLOWED: list[tuple[str, str, dict[str, str]]] = [
    ("kms:CreateGrant", f"kms:{HERE}:key/1", MINE | {"kms__GrantIsForAWSResource": "true"}),
    ("kms:Sign", f"kms:{HERE}:key/1", {"kms__RequestAlias": "alias/stackhand-staging-signing"}),
    ("kms:GetPublicKey", f"kms:{HERE}:key/1", {"kms__RequestAlias": "alias/stackhand-staging-signing"}),
    ("kms:RetireGrant", f"kms:{HERE}:key/1", MINE),
    ("kms:GenerateDataKeyWithoutPlaintext", f"kms:{HERE}:key/1", MINE),
    ("rds:CreateDBSnapshot", f"rds:{HERE}:snapshot:stackhand-staging-postgres-final-1", {}),
    ("rds:ModifyDBInstance", f"rds:{HERE}:db:stackhand-staging-postgres", {}),
    ("rds:DeleteDBInstance", f"rds:{HERE}:db:stackhand-staging-postgres", {}),
    ("rds:RestoreDBInstanceFromDBSnapshot", f"rds:{HERE}:snapshot:rds:stackhand-staging-postgres-2026-01-31", {}),
    ("rds:RestoreDBInstanceFromDBSnapshot", f"rds:{HERE}:snapshot:stackhand-staging-postgres-final-1", {}),
    ("ec2:CreateSubnet", f"ec2:{HERE}:subnet/*", NEW),
    ("ec2:CreateSubnet", f"ec2:{HERE}:vpc/vpc-1", MINE),
    ("ec2:CreateTags", f"ec2:{HERE}:subnet/*", {"RequestTag": OURS, "ec2__CreateAction": "CreateSubnet"}),
    ("ec2:CreateTags", f"ec2:{HERE}:subnet/subnet-1", MINE),
    ("ec2:AuthorizeSecurityGroupIngress", f"ec2:{HERE}:security-group/sg-1", MINE),
    ("ec2:AuthorizeSecurityGroupIngress", f"ec2:{HERE}:security-group-rule/*", NEW),
    ("ec2:AllocateAddress", f"ec2:{HERE}:elastic-ip/*", NEW),
    ("ec2:CreateNatGateway", f"ec2:{HERE}:natgateway/*", NEW),
    ("ec2:CreateVpcEndpoint", f"ec2:{HERE}:vpc-endpoint/*", NEW),
    ("ec2:CreateRoute", f"ec2:{HERE}:route-table/rtb-1", MINE),
    ("kms:TagResource", f"kms:{HERE}:key/1", MINE),
    ("application-autoscaling:RegisterScalableTarget", f"{SCALING}/*", NEW),
    ("application-autoscaling:PutScalingPolicy", f"{SCALING}/1", MINE),
    ("ecr:PutImage", f"ecr:{HERE}:repository/stackhand-staging/new", {}),
    ("logs:FilterLogEvents", f"logs:{HERE}:log-group:/stackhand/staging/new:*", {}),
    ("iam:PassRole", "iam::123456789012:role/stackhand-staging-new-task", PASSED),
    ("iam:PassRole", "iam::123456789012:role/stackhand-staging-migrate-execution", PASSED),
    ("iam:PassRole", "iam::123456789012:role/stackhand-staging-nightly-schedule", SCHEDULES),
    ("scheduler:UpdateSchedule", f"scheduler:{HERE}:schedule/stackhand-staging/nightly", {}),
    ("scheduler:CreateScheduleGroup", f"scheduler:{HERE}:schedule-group/stackhand-staging", {}),
]  # fmt: skip


NAMED = [
    ("iam:PassRole", "iam::123456789012:role/{}-api-task", PASSED),
    ("iam:PassRole", "iam::123456789012:role/{}-migrate-execution", PASSED),
    ("iam:DeleteRole", "iam::123456789012:role/{}-execution", {}),
    ("ecr:PutImage", f"ecr:{HERE}:repository/{{}}/api", {}),
    ("ecs:DeleteService", f"ecs:{HERE}:service/{{}}/api", {}),
    ("rds:DeleteDBInstance", f"rds:{HERE}:db:{{}}-postgres", {}),
    ("logs:FilterLogEvents", f"logs:{HERE}:log-group:/aws/rds/instance/{{}}-postgres/postgresql", {}),
    ("sns:Publish", f"sns:{HERE}:{{}}-alarms", {}),
    ("scheduler:UpdateSchedule", f"scheduler:{HERE}:schedule/{{}}/nightly", {}),
    ("scheduler:DeleteScheduleGroup", f"scheduler:{HERE}:schedule-group/{{}}", {}),
    ("cloudwatch:DeleteAlarms", f"cloudwatch:{HERE}:alarm:{{}}-api-cpu", {}),
    ("kms:UpdateAlias", f"kms:{HERE}:alias/{{}}-signing", {}),
]
"""What an environment has by its name."""


def policies(plan: Plan) -> dict[str, str]:
    """All policies of a plan or state by their resources' addresses."""
    return {address: each["policy"] for kind in KINDS for address, each in resources(plan, kind).items()}


@pytest.fixture
def deploy(applied: Plan) -> list[Statement]:
    """All that the deploy role of staging may do."""
    found = policies(applied)
    kinds = ("aws_iam_policy.infrastructure", "aws_iam_policy.roles", "aws_iam_role_policy.release")
    names = [f'{kind}["github"]' for kind in kinds]
    return [statement for name in names for statement in statements(found[name])]


STARTS = {
    "execution": {"DATABASE_PASSWORD", "REDIS_PASSWORD", "HEALTH_DETAILS_TOKEN", "NOTES_TOKEN"},
    'job_execution["migrate"]': {"DATABASE_PASSWORD", "POSTGRES_PASSWORD"},
}
"""What may be read by whom starts tasks: of services, and of the job that migrates."""


@pytest.mark.parametrize("role", STARTS)
def test_only_the_role_that_starts_the_migration_reads_the_owners_password(applied: Plan, role: str) -> None:
    found = statements(policies(applied)[f"aws_iam_role_policy.{role}"])
    kept = {each["name"].rpartition("/")[2]: each["arn"] for each in resources(applied, "aws_ssm_parameter").values()}
    assert "POSTGRES_PASSWORD" in kept
    for action in ("ssm:GetParameters", "ssm:GetParameter"):
        readable = {name for name, arn in kept.items() if allowed(found, action, arn)}
        assert readable == (STARTS[role] if action == "ssm:GetParameters" else set())


@pytest.mark.parametrize(("action", "resource", "tags"), REFUSED)
def test_what_is_of_another_environment_or_of_nobody_stays_so(
    deploy: list[Statement], action: str, resource: str, tags: dict[str, str]
) -> None:
    arn = resource if resource == "*" else f"arn:aws:{resource}"
    assert not allowed(deploy, action, arn, **tags, **REGION)


@pytest.mark.parametrize(("action", "resource", "tags"), ALLOWED)
def test_what_is_of_this_environment_is_made_and_changed(
    deploy: list[Statement], action: str, resource: str, tags: dict[str, str]
) -> None:
    assert allowed(deploy, action, f"arn:aws:{resource}", **tags, **REGION)


@pytest.mark.parametrize(
    ("prefix", "reached"),
    [
        ("stackhand-staging-eu", True),
        ("stackhand-staging-signing", True),
        ("stackhand-production", False),
        ("stackhand-staging2", False),
        ("stackhand-stagingeu-eu", False),
        ("eu-stackhand-prod", False),
    ],
)
def test_an_environment_that_the_deploy_role_reaches_by_name_is_refused(
    deploy: list[Statement], prefix: str, reached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, _, name = prefix.rpartition("-")
    arns = [(action, f"arn:aws:{arn.format(prefix)}", keys) for action, arn, keys in NAMED]
    assert any(allowed(deploy, action, arn, **keys, **REGION) for action, arn, keys in arns) is reached
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    for key, value in (("staging", "stackhand"), (name, stack)):
        facts = {"stack": value, "region": "eu-west-1", "account_id": "123456789012", "github_repository": "acme/shop"}
        text = "".join(f'{field} = "{fact}"\n' for field, fact in facts.items())
        (tmp_path / f"{key}.tfvars").write_text(text, encoding="utf-8")
    for each in environments.known():
        refusal = pytest.raises(Failure, match="cannot have deploy roles in one account")
        with refusal if reached else contextlib.nullcontext():
            environments.require_apart(environments.load(each))


def test_nobody_else_of_this_environment_may_sign(applied: Plan) -> None:
    signing = {"kms__RequestAlias": "alias/stackhand-staging-signing"}
    found = policies(applied)
    may = {
        address
        for address, policy in found.items()
        if allowed(statements(policy), "kms:Sign", f"arn:aws:kms:{HERE}:key/1", **signing, **NEW, **MINE, **REGION)
    }
    assert may == {'aws_iam_role_policy.release["github"]'}


def test_what_terraform_makes_has_the_tags_that_decide(applied: Plan) -> None:
    tags = {"Stack": "stackhand", "Environment": "staging"}
    for kind in ("aws_subnet", "aws_kms_key", "aws_security_group", "aws_appautoscaling_target", "aws_eip"):
        for each in resources(applied, kind).values():
            assert tags.items() <= each["tags_all"].items()


REPORTS = {"events.amazonaws.com": {}, "cloudwatch.amazonaws.com": {"aws__SourceAccount": "123456789012"}}
"""Who reports to the topic, and what AWS then knows of whom it reports for: EventBridge does not say."""


@pytest.mark.parametrize("service", REPORTS)
def test_alarms_and_events_arrive_at_the_encrypted_topic(applied: Plan, service: str) -> None:
    topic = resources(applied, "aws_sns_topic")["aws_sns_topic.alarms"]["arn"]
    key = of_service(statements(resources(applied, "aws_kms_key")["aws_kms_key.main"]["policy"]), service)
    for action in ("kms:GenerateDataKey", "kms:Decrypt"):
        about = {"kms__EncryptionContext__aws__sns__topicArn": topic}
        assert allowed(key, action, "*", **about, **REPORTS[service])
        assert not allowed(key, action, "*")
    publish = resources(applied, "aws_sns_topic_policy")["aws_sns_topic_policy.alarms"]["policy"]
    assert allowed(of_service(statements(publish), service), "sns:Publish", topic, **REPORTS[service])


def test_a_service_more_changes_only_policies_that_the_deploy_role_may_write(module: Module, applied: Plan) -> None:
    compose: dict[str, Any] = yaml.safe_load((module.path.parent / "docker-compose.yml").read_text(encoding="utf-8"))
    third = {**compose["services"]["web"], "x-aws": {**compose["services"]["web"]["x-aws"], "paths": ["/third/*"]}}
    nightly = {"image": "example/nightly:1", "command": "work", "x-aws": {"schedule": "rate(1 day)"}}
    compose["services"] |= {"third": third, "nightly": nightly}
    folder = module.path.parent / "three"
    shutil.copytree(module.path.parent, folder, ignore=shutil.ignore_patterns("terraform", "three"))
    (folder / "docker-compose.yml").write_text(yaml.safe_dump(compose), encoding="utf-8")
    plan = module.plan("staging", compose="three", **GITHUB)
    assert 'aws_ecs_service.main["third"]' in resources(plan, "aws_ecs_service")
    written = {
        each["address"]
        for each in plan["resource_changes"]
        if each["type"] in KINDS and each["change"]["actions"] != ["no-op"]
    }
    # into roles within the boundary, which the deploy role may write
    # (the job's stays as it is, which Terraform knows only once the new repository is there)
    of_the_job = 'aws_iam_role_policy.job_execution["migrate"]'
    of_the_nightly = {f'aws_iam_role_policy.{kind}["nightly"]' for kind in ("job_execution", "schedule")}
    of_services = {"aws_iam_role_policy.execution", 'aws_iam_role_policy.exec["third"]'}
    assert written == {of_the_job} | of_services | of_the_nightly
    of_roles = resources(plan, "aws_iam_role_policy")
    starts = statements(of_roles['aws_iam_role_policy.schedule["nightly"]']["policy"])
    assert list(chain.from_iterable(map(actions.problems, starts))) == []
    cluster = {"ecs__cluster": f"arn:aws:ecs:{HERE}:cluster/stackhand-staging"}
    for name in ("nightly", "api"):
        definition = f"arn:aws:ecs:{HERE}:task-definition/stackhand-staging-{name}:7"
        role = f"arn:aws:iam::123456789012:role/stackhand-staging-{name}-task"
        assert allowed(starts, "ecs:RunTask", definition, **cluster) is (name == "nightly")
        assert allowed(starts, "iam:PassRole", role, **PASSED) is (name == "nightly")
