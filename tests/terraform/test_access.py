"""Who may do what, and what nobody can read."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from stackhand.infrastructure import secrets
from stackhand.infrastructure.plan import summary
from stackhand.infrastructure.snapshots import restore
from stackhand.release import lease, manifest
from stackhand.release.images import provenance
from tests.checkout import ROOT
from tests.terraform import iam
from tests.terraform.conftest import GITHUB, Module
from tests.terraform.plans import Plan, addresses, resources, typed

pytestmark = [pytest.mark.xdist_group("terraform-plans"), pytest.mark.timeout(400)]
TOKEN = "token.actions.githubusercontent.com"


def test_no_secret_is_in_a_plan_or_in_a_state(staging: Plan, applied: Plan, module: Module) -> None:
    state = json.loads((module.path / "terraform.tfstate").read_text(encoding="utf-8"))
    made = re.search(r"length += (\d+)", (ROOT / "terraform" / "secrets.tf").read_text(encoding="utf-8"))
    assert made is not None
    for document in (staging, applied, state):
        assert re.findall(rf'"([A-Za-z0-9]{{{made[1]}}})"', json.dumps(document)) == []
    secrets = {
        each["address"]: set(each.get("expressions", {}))
        for each in staging["configuration"]["root_module"]["resources"]
    }
    plain = {"password", "value", "insecure_value", "auth_token"}
    holders = {
        "aws_db_instance.main": {"password_wo", "password_wo_version"},
        "aws_elasticache_replication_group.main": {"auth_token_wo", "auth_token_wo_version"},
        **{f"aws_ssm_parameter.{name}": {"value_wo", "value_wo_version"} for name in ("database", "cache", "other")},
    }
    for address, arguments in holders.items():
        assert secrets[address] >= arguments
        assert not secrets[address] & plain
    kinds = {entry["type"] for entry in state["resources"] if entry["mode"] == "managed"}
    assert not any("secretsmanager" in kind or kind == "random_password" for kind in kinds)


def test_a_rotation_makes_generated_secrets_and_tasks_new_and_leaves_a_given_one(module: Module, applied: Plan) -> None:
    """As Terraform made it once, at random, before somebody put the right one in its place."""
    once = module.path / "once.tfstate"
    state = json.loads((module.path / "terraform.tfstate").read_text(encoding="utf-8"))
    others = next(each for each in state["resources"] if (each["type"], each["name"]) == ("aws_ssm_parameter", "other"))
    made = json.loads(json.dumps(others["instances"][0]))
    made |= {"index_key": "STRIPE_KEY", "attributes": {**made["attributes"], "name": "/stackhand/staging/STRIPE_KEY"}}
    others["instances"].append(made)
    for each in (each for each in state["resources"] if each["type"] == "aws_ssm_parameter"):
        for instance in each[
            "instances"
        ]:  # somebody has given it another key, and an earlier version of ours another text
            instance["attributes"] |= {"key_id": "alias/theirs", "description": "before", "tier": "Advanced"}
    once.write_text(json.dumps(state), encoding="utf-8")
    file = module.path.parent / "shop" / "docker-compose.yml"
    file.parent.mkdir()
    example = (module.path.parent / ".env.example").read_text(encoding="utf-8")
    (file.parent / ".env.example").write_text(f"{example}\n\n# type: secret given\nSTRIPE_KEY=\n", encoding="utf-8")
    document = yaml.safe_load((module.path.parent / "docker-compose.yml").read_text(encoding="utf-8"))
    document["services"]["api"]["environment"]["STRIPE_KEY"] = "${STRIPE_KEY:-}"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")

    variables = {"secrets_version": 2, "compose": "shop", **GITHUB}
    plan = module.plan("staging", state=once.name, **{**variables, "secrets_version": 1})
    written = {each["address"] for each in plan["resource_changes"] if each["change"]["actions"] == ["update"]}
    assert not [
        each for each in written if each.startswith("aws_ssm_parameter.")
    ]  # with an empty value, which SSM refuses
    address = 'aws_ssm_parameter.other["STRIPE_KEY"]'
    outputs = {name: each.get("value") for name, each in plan["planned_values"]["outputs"].items()}
    assert secrets.forgotten(typed(plan), outputs[secrets.OUTPUT]) == [address]
    module.run("state", "rm", f"-state={once.name}", address)
    plan = module.plan("staging", state=once.name, **variables)
    assert address not in addresses(plan)

    changed = {each["address"] for each in plan["resource_changes"] if each["change"]["actions"] == ["update"]}
    assert changed == {
        "aws_iam_role_policy.execution",  # ECS may read it
        'aws_db_instance.main["postgres"]',
        'aws_elasticache_replication_group.main["redis"]',
        'aws_ssm_parameter.cache["redis"]',
        'aws_ssm_parameter.database["postgres"]',
        'aws_ssm_parameter.other["DATABASE_PASSWORD"]',
        'aws_ssm_parameter.other["HEALTH_DETAILS_TOKEN"]',
        'aws_ssm_parameter.other["NOTES_TOKEN"]',
    }
    assert summary(typed(plan), {}).outputs == ["given_secrets", "release"]


def statements(plan: Plan, kind: str, address: str, key: str) -> list[dict[str, Any]]:
    return list(json.loads(resources(plan, kind)[address][key])["Statement"])


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


OURS = "repo:acme@123/shop@456"
FILE = "acme/shop/.github/workflows/deploy.yml@refs/heads/main"
DEPLOYING = {"aud": "sts.amazonaws.com", "sub": f"{OURS}:environment:production", "job_workflow_ref": FILE}
PLANNING = {
    "aud": "sts.amazonaws.com",
    "sub": f"{OURS}:pull_request",
    "job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/pull/7/merge",
}
ATTACKS: dict[str, dict[str, str]] = {
    "the name, registered again by somebody else": {"sub": "repo:acme@999/shop@888:environment:production"},
    "the repository, deleted and created again": {"sub": "repo:acme@123/shop@888:environment:production"},
    "the name without its numbers": {"sub": "repo:acme/shop:environment:production"},
    "a pull request, of a fork as well": {"sub": f"{OURS}:pull_request"},
    "a push to main without the environment": {"sub": f"{OURS}:ref:refs/heads/main"},
    "another environment": {"sub": f"{OURS}:environment:staging"},
    "an environment whose name begins so": {"sub": f"{OURS}:environment:production-2"},
    "another repository of the owner": {"sub": "repo:acme@123/shop-2@457:environment:production"},
    "another repository that calls our workflow": {"sub": "repo:evil@1/shop@2:environment:production"},
    "a branch's workflow, in the environment": {
        "job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/x"
    },
    "another workflow of ours, in the environment": {
        "job_workflow_ref": "acme/shop/.github/workflows/ci.yml@refs/heads/main"
    },
    "a reusable workflow of another repository": {
        "job_workflow_ref": "evil/shop/.github/workflows/deploy.yml@refs/heads/main"
    },
    "a token for somebody else": {"aud": "https://github.com/acme"},
}


def trust(plan: Plan, role: str) -> list[dict[str, Any]]:
    return statements(plan, "aws_iam_role", f'aws_iam_role.{role}["github"]', "assume_role_policy")


@pytest.mark.parametrize(("role", "claims"), [("deploy", DEPLOYING), ("plan", PLANNING)])
def test_github_is_trusted_with_its_own_job_only(production: Plan, role: str, claims: dict[str, str]) -> None:
    found, provider = trust(production, role), GITHUB["github_provider_arn"]
    assert iam.assumable(found, str(provider), **claims)
    assert not iam.assumable(found, f"{provider}.evil.example", **claims)
    assert {test for statement in found for test in statement["Condition"]} == {"StringEquals"}
    assert not any(sign in json.dumps(found) for sign in "*?")


@pytest.mark.parametrize("claims", ATTACKS.values(), ids=ATTACKS)
def test_github_deploys_by_nothing_but_the_environment_of_this_very_repository(
    production: Plan, claims: dict[str, str]
) -> None:
    token = DEPLOYING | claims
    assert not iam.assumable(trust(production, "deploy"), str(GITHUB["github_provider_arn"]), **token)


@pytest.mark.parametrize("name", ["acme@999/shop@888", "acme/shop", "acme@123/shop@888"])
def test_github_plans_for_no_repository_of_the_same_name(production: Plan, name: str) -> None:
    token = PLANNING | {"sub": f"repo:{name}:pull_request"}
    assert not iam.assumable(trust(production, "plan"), str(GITHUB["github_provider_arn"]), **token)


def test_whoever_plans_can_read_no_secret_and_change_nothing(production: Plan) -> None:
    found = statements(production, "aws_iam_role_policy", 'aws_iam_role_policy.plan["github"]', "policy")
    may = {action: listed(statement["Resource"]) for statement in found for action in listed(statement["Action"])}
    here = "eu-west-1:123456789012"
    bucket = "arn:aws:s3:::stackhand-production-123456789012-eu-west-1"
    assert may == {
        "s3:GetObject": [f"{bucket}/terraform.tfstate", f"{bucket}/current.json"],
        "s3:ListBucket": [bucket],
        "ec2:DescribeAvailabilityZones": ["*"],
        "ecs:DescribeTaskDefinition": ["*"],
        "ecs:DescribeServices": [f"arn:aws:ecs:{here}:service/stackhand-production/*"],
        "ecr:DescribeImages": [f"arn:aws:ecr:{here}:repository/stackhand-production/*"],
    }
    assert [
        each
        for each in production["resource_changes"]
        if each["address"].startswith("aws_iam_role_policy_attachment.plan")
    ] == []


def test_a_deploy_passes_only_the_roles_of_its_tasks_and_makes_none_beyond_the_boundary(applied: Plan) -> None:
    release = statements(applied, "aws_iam_role_policy", 'aws_iam_role_policy.release["github"]', "policy")
    passing = [statement for statement in release if "iam:PassRole" in listed(statement["Action"])]
    assert [each["Resource"] for each in passing[1:]] == ["arn:aws:iam::123456789012:role/stackhand-staging-*-schedule"]
    assert passing[1]["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    assert passing[0]["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    names = {arn.rpartition("/")[2] for arn in listed(passing[0]["Resource"])}
    assert names == {"stackhand-staging-execution", "stackhand-staging-*-execution", "stackhand-staging-*-task"}
    names = [f'aws_iam_policy.{name}["github"]' for name in ("infrastructure", "roles")]
    infrastructure = [each for name in names for each in statements(applied, "aws_iam_policy", name, "policy")]
    for statement in infrastructure + release:
        actions = listed(statement["Action"])
        assert not {"*", "iam:*", "sts:*"} & set(actions)
        if {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"} & set(actions):
            boundary = statement["Condition"]["StringEquals"]["iam:PermissionsBoundary"]
            assert listed(boundary)[0].endswith(":policy/stackhand-staging-boundary")
    roles = resources(applied, "aws_iam_role")
    bounded = {address for address, role in roles.items() if role["permissions_boundary"]}
    tasks = {f'aws_iam_role.task["{name}"]' for name in ("api", "web", "migrate")}
    assert {*tasks, "aws_iam_role.execution", 'aws_iam_role.job_execution["migrate"]'} == bounded


@pytest.mark.parametrize(
    "key", [lease.KEY, manifest.CURRENT, f"{manifest.FOLDER}1.json", f"{provenance.FOLDER}1/api.cdx.json", restore.KEY]
)
def test_a_deploy_may_use_each_document_of_the_bucket(applied: Plan, key: str) -> None:
    release = statements(applied, "aws_iam_role_policy", 'aws_iam_role_policy.release["github"]', "policy")
    bucket = "arn:aws:s3:::stackhand-staging-123456789012-eu-west-1"
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert iam.allowed(release, action, f"{bucket}/{key}")


def test_a_shell_may_look_at_its_log_group_and_record_there_and_the_boundary_lets_it(applied: Plan) -> None:
    boundary = statements(applied, "aws_iam_policy", "aws_iam_policy.boundary", "policy")
    for service in ("api", "web"):
        found = statements(applied, "aws_iam_role_policy", f'aws_iam_role_policy.exec["{service}"]', "policy")
        actions = {action for each in found for action in listed(each["Action"])}
        assert actions <= {action for each in boundary for action in listed(each["Action"])}
        for policy in (found, boundary):
            assert iam.allowed(policy, "logs:DescribeLogGroups", "*")


def test_the_outputs_name_the_roles_of_the_workflows(applied: Plan) -> None:
    named = applied["outputs"]["github_roles"]["value"]
    made = {role: resources(applied, "aws_iam_role")[f'aws_iam_role.{role}["github"]']["arn"] for role in named}
    assert named == made
    assert set(named) == {"plan", "deploy"}


def test_only_the_chain_is_open(applied: Plan) -> None:
    groups = {}
    for address, group in resources(applied, "aws_security_group").items():
        name = re.fullmatch(r'aws_security_group\.(\w+)(?:\["(.+)"\]|\[0\])?', address)
        assert name is not None
        groups[group["id"]] = name[2] or name[1]
    seen = set()
    for side in ("ingress", "egress"):
        for rule in resources(applied, f"aws_vpc_security_group_{side}_rule").values():
            ports = {rule["from_port"], rule["to_port"]}
            assert rule["ip_protocol"] == "tcp"
            assert rule["description"]
            other = rule["cidr_ipv4"] or groups[rule["referenced_security_group_id"]]
            assert len(ports) == 1 or (ports == {0, 65535} and not rule["cidr_ipv4"])
            port = "any" if len(ports) > 1 else rule["from_port"]
            seen.add((side, groups[rule["security_group_id"]], other, port))
    everywhere = "0.0.0.0/0"
    assert seen == {
        ("ingress", "load_balancer", everywhere, 80),
        ("egress", "load_balancer", "web", "any"),  # for a release may change the port
        ("ingress", "web", "load_balancer", "any"),
        ("egress", "load_balancer", "api", "any"),
        ("ingress", "api", "load_balancer", "any"),
        ("egress", "api", "postgres", 5432),
        ("ingress", "postgres", "api", 5432),
        ("egress", "migrate", "postgres", 5432),
        ("ingress", "postgres", "migrate", 5432),
        ("egress", "migrate", everywhere, 443),
        ("egress", "api", "redis", 6379),
        ("ingress", "redis", "api", 6379),
        ("egress", "services", "services", 16000),  # all proxies listen there
        ("ingress", "services", "services", 16000),
        ("egress", "api", everywhere, 443),
        ("egress", "web", everywhere, 443),
    }
