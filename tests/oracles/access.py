"""Rules of IAM and KMS that no schema has, and what the roles and keys of this stack have to allow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tests.oracles.state import Resource, State
from tests.oracles.tasks import templates
from tests.terraform import actions
from tests.terraform.iam import listed

Found = Iterator[tuple[str, str]]
LARGEST = {"aws_iam_policy": 6144, "aws_iam_role_policy": 10240, "aws_iam_role": 2048}
"""Characters, white space not counted: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
KNOWN = {
    "ecs:TagResource does not know ecs:cluster",
}
"""Statements that have no effect, and why that is known: tests/terraform/test_policies.py."""
SERVICES = re.compile(
    r"(ecs-tasks|monitoring\.rds|vpc-flow-logs|events|cloudwatch|scheduler|logs\.[a-z0-9-]+|logdelivery\.elasticloadbalancing)"
    r"\.amazonaws\.com"
)
"""Those that this stack has anything to do with."""
TESTS = re.compile(
    r"(ForAllValues:|ForAnyValue:)?((String|Arn)(Not)?(Equals|Like)|StringEqualsIgnoreCase|Bool|Null|Numeric\w+|Date\w+"
    r"|IpAddress|NotIpAddress)(IfExists)?"
)
GLOBAL = re.compile(
    r"aws:((Request|Resource|Principal)Tag/.+|SourceAccount|SourceArn|SourceIp|SourceVpce?|SecureTransport|RequestedRegion|TagKeys"
    r"|PrincipalArn|PrincipalOrgID|PrincipalAccount|CalledVia|ViaAWSService|ResourceAccount|ResourceOrgID|CurrentTime)"
)
WRITING = ("logs:CreateLogStream", "logs:PutLogEvents")
PULLING = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
POLICIES = {
    "aws_iam_policy": "policy",
    "aws_iam_role_policy": "policy",
    "aws_iam_role": "assume_role_policy",
    "aws_kms_key": "policy",
    "aws_s3_bucket_policy": "policy",
    "aws_sns_topic_policy": "policy",
}


def _statements(each: Resource) -> list[dict[str, Any]]:
    # the provider's stand-in makes ARNs of log groups without the first slash of their names
    text = re.sub(r"log-group:(?=[^/*])", "log-group:/", each.values[POLICIES[each.type]])
    return list(json.loads(text)["Statement"])


def policies_say_what_iam_knows(state: State) -> Found:
    for each in state.of("aws_iam_policy", "aws_iam_role_policy"):
        for statement in _statements(each):
            yield from ((each.address, message) for message in actions.problems(statement) if message not in KNOWN)
    for each in state.of(*POLICIES):
        text = json.dumps(json.loads(each.values[POLICIES[each.type]]), separators=(",", ":"))
        if len(text) > LARGEST.get(each.type, 20480):
            yield each.address, f"has {len(text)} characters"
        for statement in _statements(each):
            yield from ((each.address, message) for message in _principals(statement))
            for test, keys in statement.get("Condition", {}).items():
                if not TESTS.fullmatch(test):
                    yield each.address, f"{test} is no condition"
                for key in keys:
                    if key.startswith("aws:") and not GLOBAL.fullmatch(key):
                        yield each.address, f"{key} is no key of a condition"


def statements_are_about_something(state: State) -> Found:
    for each in state.of("aws_iam_policy", "aws_iam_role_policy"):
        for statement in _statements(each):
            if not listed(statement.get("Resource", [])):
                yield each.address, f"the statement {statement.get('Sid')} is about no resource"


def roles_have_room(state: State) -> Found:
    """All inline policies of a role together have as many letters as one may have."""
    texts: dict[str, str] = {}
    for each in state.of("aws_iam_role_policy"):
        shortest = json.dumps(json.loads(each.values["policy"]), separators=(",", ":"))
        texts[each.values["role"]] = texts.get(each.values["role"], "") + shortest
    for role, text in texts.items():
        if len(text) > LARGEST["aws_iam_role_policy"]:
            yield role, f"its policies have {len(text)} characters together"


def _principals(statement: Mapping[str, Any]) -> Iterator[str]:
    principal = statement.get("Principal", {})
    for service in listed(principal.get("Service", [])) if isinstance(principal, dict) else []:
        if not SERVICES.fullmatch(service):
            yield f"{service} is no service that this stack has to do with"


def allowed(each: Resource, action: str, resource: str, *, principal: str = "", **context: str) -> bool:
    """Return whether a statement allows an action; a condition counts only where the request has its key.

    Args:
        each: the resource with the policy.
        action: such as kms:Decrypt.
        resource: its ARN.
        principal: the service that asks, where the policy is of a resource.
        context: what AWS knows of the request: keys with two underscores for each colon.
    """
    keys = {key.replace("__", ":"): value for key, value in context.items()}
    for statement in _statements(each):
        principals = statement.get("Principal", {})
        of = listed(principals.get("Service", [])) if isinstance(principals, dict) else []
        if (
            statement["Effect"] == "Allow"
            and (not principal or principal in of)
            and any(fnmatchcase(action, pattern) for pattern in listed(statement["Action"]))
            and any(fnmatchcase(resource, pattern) for pattern in listed(statement.get("Resource", "*")))
            and all(
                any(fnmatchcase(keys.get(key, ""), value) for value in listed(values))
                for test in statement.get("Condition", {}).values()
                for key, values in test.items()
            )
        ):
            return True
    return False


def services_of_aws_may_use_the_key(state: State) -> Found:
    key, account = state.of("aws_kms_key")[0], str(state.outputs["release"]["account"])
    region = state.outputs["release"]["region"]
    for group in state.of("aws_cloudwatch_log_group"):
        arn = f"arn:aws:logs:{region}:{account}:log-group:{group.values['name']}"
        about = {"kms__EncryptionContext__aws__logs__arn": arn}
        logs = f"logs.{region}.amazonaws.com"
        for action in ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:GenerateDataKey", "kms:DescribeKey"):
            if group.values["kms_key_id"] and not allowed(key, action, "*", principal=logs, **about):
                yield group.address, f"CloudWatch may not use the key for it: {action}"
    topic = state.of("aws_sns_topic")[0]
    about = {"kms__EncryptionContext__aws__sns__topicArn": topic.values["arn"]}
    # EventBridge does not say for whom it publishes
    for service, more in {"events": {}, "cloudwatch": {"aws__SourceAccount": account}}.items():
        name = f"{service}.amazonaws.com"
        for action in ("kms:GenerateDataKey", "kms:Decrypt"):
            if not allowed(key, action, "*", principal=name, **about, **more):
                yield topic.address, f"what {name} reports does not arrive: {action}"
        policy = state.of("aws_sns_topic_policy")[0]
        if not allowed(policy, "sns:Publish", topic.values["arn"], principal=name, **more):
            yield policy.address, f"what {name} reports does not arrive"


def tasks_can_start(state: State) -> Found:
    """The role that starts a task pulls its image, writes its log, reads its secrets, and may use their key."""
    account, region = state.outputs["release"]["account"], state.outputs["release"]["region"]
    roles = {each.values["arn"]: each.values["name"] for each in state.of("aws_iam_role")}
    policies = state.of("aws_iam_role_policy")
    key = state.of("aws_kms_key")[0].values["arn"]
    for name, definition in templates(state).items():
        role = roles.get(definition["executionRoleArn"], "")
        mine = [each for each in policies if each.values["role"] == role]
        wanted = [("ecr:GetAuthorizationToken", "*"), ("kms:Decrypt", key)]
        for each in definition["containerDefinitions"]:
            group = each["logConfiguration"]["options"]["awslogs-group"]
            wanted += [
                (action, f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:x") for action in WRITING
            ]
            wanted += [("ssm:GetParameters", secret["valueFrom"]) for secret in each["secrets"]]
        service = state.outputs["release"]["services"].get(name) or state.outputs["release"]["jobs"][name]
        built = (service.get("repository") or {}).get("name")
        for repository in state.of("aws_ecr_repository"):
            if repository.values["name"] == built:
                wanted += [(action, repository.values["arn"]) for action in PULLING]
        for action, resource in wanted:
            if not any(allowed(each, action, resource) for each in mine):
                yield f'output.release["{name}"]', f"ECS may not {action} {resource} to start its tasks"


def roles_stay_within_their_boundary(state: State) -> Found:
    policies = {each.values["arn"]: each for each in state.of("aws_iam_policy")}
    bounded = {
        each.values["name"]: policies.get(each.values["permissions_boundary"] or "")
        for each in state.of("aws_iam_role")
    }
    for each in state.of("aws_iam_role_policy"):
        boundary = bounded.get(each.values["role"])
        for statement in _statements(each) if boundary else ():
            equal = statement.get("Condition", {}).get("StringEquals", {})
            context = {key.replace(":", "__"): listed(values)[0] for key, values in equal.items()}
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    if not allowed(boundary, action, resource, **context):
                        yield each.address, f"its role's boundary does not let it {action} {resource}"
    for each in state.of("aws_iam_role"):
        if (
            each.block.rpartition(".")[2] in {"task", "execution", "job_execution"}
            and not each.values["permissions_boundary"]
        ):
            yield each.address, "has no boundary, and a deploy may not make it therefore"
        if len(each.values["name"]) > 64:
            yield each.address, "has more than 64 letters"


def aws_may_take_its_roles(state: State) -> Found:
    """A role is taken by the service that needs it, for this account alone."""
    takers = {"monitoring": "monitoring.rds", "flow": "vpc-flow-logs", "task": "ecs-tasks", "execution": "ecs-tasks"}
    takers["schedule"] = "scheduler"
    account = str(state.outputs["release"]["account"])
    for each in state.of("aws_iam_role"):
        taker = takers.get(each.block.rpartition(".")[2].removeprefix("job_"))
        if taker and not allowed(
            each, "sts:AssumeRole", "*", principal=f"{taker}.amazonaws.com", aws__SourceAccount=account
        ):
            yield each.address, f"{taker} cannot take it"
    logs, bucket = "logdelivery.elasticloadbalancing.amazonaws.com", state.of("aws_s3_bucket")[0].values["arn"]
    for each in state.of("aws_s3_bucket_policy"):
        if not allowed(each, "s3:PutObject", f"{bucket}/AWSLogs/{account}/elasticloadbalancing/x", principal=logs):
            yield each.address, "the load balancer cannot deliver its logs"
    groups = [each for each in state.of("aws_cloudwatch_log_group") if each.block.endswith(".flow")]
    for flow in (each for each in state.of("aws_iam_role_policy") if each.block.endswith(".flow")):
        for action in (*WRITING, "logs:DescribeLogStreams"):
            if not all(allowed(flow, action, _group(group)) for group in groups):
                yield flow.address, f"flow logs are not written: {action}"


def _group(group: Resource) -> str:
    """Return the ARN of a stream in a log group."""
    return f"{group.values['arn'].rpartition(':log-group:')[0]}:log-group:{group.values['name']}:log-stream:x"


def a_shell_can_be_opened(state: State) -> Found:
    services = {each.values["name"] for each in state.of("aws_ecs_service") if each.values["enable_execute_command"]}
    roles = {each.values["arn"]: each.values["name"] for each in state.of("aws_iam_role")}
    for name in services:
        role = roles.get(templates(state)[name]["taskRoleArn"])
        mine = [each for each in state.of("aws_iam_role_policy") if each.values["role"] == role]
        for verb in ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel"):
            if not any(allowed(each, f"ssmmessages:{verb}", "*") for each in mine):
                yield f'output.release["{name}"]', f"ECS Exec needs ssmmessages:{verb}"


def schedules_may_start_their_jobs(state: State) -> Found:
    """A schedule's role may start what a release will have it start, with its tags, and as the roles that it has."""
    roles = {each.values["arn"]: each.values["name"] for each in state.of("aws_iam_role")}
    for each in state.of("aws_scheduler_schedule"):
        target = each.values["target"][0]
        role = roles.get(target["role_arn"], "")
        mine = [one for one in state.of("aws_iam_role_policy") if one.values["role"] == role]
        definition = templates(state)[each.values["name"]]
        passed = {"iam__PassedToService": "ecs-tasks.amazonaws.com"}
        asked = [(definition[kind], "iam:PassRole", passed) for kind in ("taskRoleArn", "executionRoleArn")]
        revision = f"{target['ecs_parameters'][0]['task_definition_arn']}:1"
        asked.append((revision, "ecs:RunTask", {"ecs__cluster": target["arn"]}))
        task = target["arn"].replace(":cluster/", ":task/") + "/1"
        asked.append((task, "ecs:TagResource", {"ecs__CreateAction": "RunTask"}))
        for resource, action, context in asked:
            if not any(allowed(one, action, resource, **context) for one in mine):
                yield each.address, f"may not {action} {resource}"


RULES = (
    policies_say_what_iam_knows,
    statements_are_about_something,
    roles_have_room,
    services_of_aws_may_use_the_key,
    tasks_can_start,
    roles_stay_within_their_boundary,
    aws_may_take_its_roles,
    a_shell_can_be_opened,
    schedules_may_start_their_jobs,
)
