"""A CloudFormation template of what Terraform made, so that cfn-lint's schemas of AWS look over it.

Names are generated: each property of a CloudFormation type is looked for under its name in snake case, which is
Terraform's. The tables below hold the exceptions. What has no property of its own name is not looked at; `unmapped`
names it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.oracles.state import Resource

TYPES = {
    "aws_appautoscaling_policy": "ApplicationAutoScaling::ScalingPolicy",
    "aws_appautoscaling_target": "ApplicationAutoScaling::ScalableTarget",
    "aws_cloudwatch_dashboard": "CloudWatch::Dashboard",
    "aws_cloudwatch_event_rule": "Events::Rule",
    "aws_cloudwatch_log_group": "Logs::LogGroup",
    "aws_cloudwatch_log_metric_filter": "Logs::MetricFilter",
    "aws_cloudwatch_metric_alarm": "CloudWatch::Alarm",
    "aws_db_instance": "RDS::DBInstance",
    "aws_db_parameter_group": "RDS::DBParameterGroup",
    "aws_db_subnet_group": "RDS::DBSubnetGroup",
    "aws_ecr_repository": "ECR::Repository",
    "aws_ecs_cluster": "ECS::Cluster",
    "aws_ecs_cluster_capacity_providers": "ECS::ClusterCapacityProviderAssociations",
    "aws_ecs_service": "ECS::Service",
    "aws_ecs_task_definition": "ECS::TaskDefinition",
    "aws_eip": "EC2::EIP",
    "aws_elasticache_parameter_group": "ElastiCache::ParameterGroup",
    "aws_elasticache_replication_group": "ElastiCache::ReplicationGroup",
    "aws_elasticache_subnet_group": "ElastiCache::SubnetGroup",
    "aws_flow_log": "EC2::FlowLog",
    "aws_iam_openid_connect_provider": "IAM::OIDCProvider",
    "aws_iam_policy": "IAM::ManagedPolicy",
    "aws_iam_role": "IAM::Role",
    "aws_iam_role_policy": "IAM::RolePolicy",
    "aws_internet_gateway": "EC2::InternetGateway",
    "aws_kms_alias": "KMS::Alias",
    "aws_kms_key": "KMS::Key",
    "aws_lb": "ElasticLoadBalancingV2::LoadBalancer",
    "aws_lb_listener": "ElasticLoadBalancingV2::Listener",
    "aws_lb_listener_rule": "ElasticLoadBalancingV2::ListenerRule",
    "aws_lb_target_group": "ElasticLoadBalancingV2::TargetGroup",
    "aws_nat_gateway": "EC2::NatGateway",
    "aws_route": "EC2::Route",
    "aws_route_table": "EC2::RouteTable",
    "aws_route_table_association": "EC2::SubnetRouteTableAssociation",
    "aws_s3_bucket": "S3::Bucket",
    "aws_s3_bucket_policy": "S3::BucketPolicy",
    "aws_scheduler_schedule": "Scheduler::Schedule",
    "aws_scheduler_schedule_group": "Scheduler::ScheduleGroup",
    "aws_security_group": "EC2::SecurityGroup",
    "aws_service_discovery_http_namespace": "ServiceDiscovery::HttpNamespace",
    "aws_service_discovery_private_dns_namespace": "ServiceDiscovery::PrivateDnsNamespace",
    "aws_service_discovery_service": "ServiceDiscovery::Service",
    "aws_sns_topic": "SNS::Topic",
    "aws_sns_topic_policy": "SNS::TopicPolicy",
    "aws_sns_topic_subscription": "SNS::Subscription",
    "aws_sqs_queue": "SQS::Queue",
    "aws_subnet": "EC2::Subnet",
    "aws_vpc": "EC2::VPC",
    "aws_vpc_endpoint": "EC2::VPCEndpoint",
    "aws_vpc_security_group_egress_rule": "EC2::SecurityGroupEgress",
    "aws_vpc_security_group_ingress_rule": "EC2::SecurityGroupIngress",
}
"""CloudFormation has no type for the others, or lets one resource be part of another: `PARTS`, `NOT_LOOKED_AT`."""

PARTS = {
    "aws_ecr_lifecycle_policy": ("aws_ecr_repository", "repository", "name"),
    "aws_s3_bucket_lifecycle_configuration": ("aws_s3_bucket", "bucket", "id"),
    "aws_s3_bucket_public_access_block": ("aws_s3_bucket", "bucket", "id"),
    "aws_s3_bucket_server_side_encryption_configuration": ("aws_s3_bucket", "bucket", "id"),
    "aws_s3_bucket_versioning": ("aws_s3_bucket", "bucket", "id"),
}
"""Resources that are properties in CloudFormation: of which type, and which attribute names which of its own."""

NOT_LOOKED_AT = {
    "aws_cloudwatch_event_target": "a target is part of its rule there, under a name that Terraform makes",
    "aws_default_security_group": "a network has it by itself",
    "aws_iam_role_policy_attachment": "an attachment is part of its role there",
    "aws_ssm_parameter": "CloudFormation makes no SecureString",
    "terraform_data": "a condition of Terraform, and nothing of AWS",
}

RENAMED: dict[str, dict[str, str]] = {
    "ApplicationAutoScaling::ScalingPolicy": {"PolicyName": "name"},
    "CloudWatch::Alarm": {"OKActions": "ok_actions"},
    "ECS::Cluster": {"ClusterSettings": "setting"},
    "ECS::ClusterCapacityProviderAssociations": {"Cluster": "cluster_name", "DefaultCapacityProviderStrategy": "@none"},
    "ECS::Service": {
        "ForceNewDeployment": "@forced",
        "DeploymentConfiguration": "@deployment",
        "NetworkConfiguration": "@network",
    },
    "EC2::FlowLog": {
        "DeliverLogsPermissionArn": "iam_role_arn",
        "ResourceId": "vpc_id",
        "ResourceType": "@vpc",
        "LogDestination": "log_destination",
    },
    "EC2::SecurityGroup": {"GroupName": "name", "GroupDescription": "description"},
    "EC2::SecurityGroupEgress": {
        "GroupId": "security_group_id",
        "CidrIp": "cidr_ipv4",
        "DestinationSecurityGroupId": "referenced_security_group_id",
        "DestinationPrefixListId": "prefix_list_id",
    },
    "EC2::SecurityGroupIngress": {
        "GroupId": "security_group_id",
        "CidrIp": "cidr_ipv4",
        "SourceSecurityGroupId": "referenced_security_group_id",
        "SourcePrefixListId": "prefix_list_id",
    },
    "ECR::Repository": {"LifecyclePolicyText": "policy"},
    "ElastiCache::ParameterGroup": {
        "CacheParameterGroupName": "name",
        "CacheParameterGroupFamily": "family",
        "Properties": "@parameters",
    },
    "ElastiCache::ReplicationGroup": {
        "CacheNodeType": "node_type",
        "CacheParameterGroupName": "parameter_group_name",
        "CacheSubnetGroupName": "subnet_group_name",
        "MultiAZEnabled": "multi_az_enabled",
        "PreferredMaintenanceWindow": "maintenance_window",
        "ReplicationGroupDescription": "description",
    },
    "ElastiCache::SubnetGroup": {"CacheSubnetGroupName": "name"},
    "ElasticLoadBalancingV2::Listener": {"Certificates": "@certificates", "DefaultActions": "default_action"},
    "ElasticLoadBalancingV2::LoadBalancer": {"Scheme": "@scheme", "Type": "load_balancer_type"},
    "ElasticLoadBalancingV2::TargetGroup": {
        f"HealthCheck{name}": f"health_check.{name.lower()}" for name in ("Path", "Port", "Protocol")
    }
    | {
        "HealthCheckIntervalSeconds": "health_check.interval",
        "HealthCheckTimeoutSeconds": "health_check.timeout",
        "HealthyThresholdCount": "health_check.healthy_threshold",
        "UnhealthyThresholdCount": "health_check.unhealthy_threshold",
        "Matcher": "@matcher",
    },
    "Events::Rule": {"EventPattern": "event_pattern"},
    "IAM::ManagedPolicy": {"ManagedPolicyName": "name", "PolicyDocument": "policy"},
    "IAM::OIDCProvider": {},
    "IAM::Role": {"RoleName": "name", "AssumeRolePolicyDocument": "assume_role_policy"},
    "IAM::RolePolicy": {"PolicyName": "name", "RoleName": "role", "PolicyDocument": "policy"},
    "KMS::Alias": {"AliasName": "name"},
    "KMS::Key": {"KeyPolicy": "policy", "PendingWindowInDays": "deletion_window_in_days"},
    "Logs::LogGroup": {"LogGroupName": "name"},
    "Logs::MetricFilter": {
        "FilterName": "name",
        "FilterPattern": "pattern",
        "MetricTransformations": "metric_transformation",
        "MetricName": "name",
        "MetricNamespace": "namespace",
        "MetricValue": "value",
    },
    "RDS::DBInstance": {
        "CACertificateIdentifier": "ca_cert_identifier",
        "DBInstanceClass": "instance_class",
        "EnableCloudwatchLogsExports": "enabled_cloudwatch_logs_exports",
        "EnableIAMDatabaseAuthentication": "iam_database_authentication_enabled",
        "EnablePerformanceInsights": "performance_insights_enabled",
        "DBParameterGroupName": "parameter_group_name",
        "MasterUsername": "username",
        "MultiAZ": "multi_az",
        "PreferredBackupWindow": "backup_window",
        "PreferredMaintenanceWindow": "maintenance_window",
        "VPCSecurityGroups": "vpc_security_group_ids",
    },
    "RDS::DBParameterGroup": {"DBParameterGroupName": "name", "Parameters": "@parameters"},
    "RDS::DBSubnetGroup": {"DBSubnetGroupName": "name", "DBSubnetGroupDescription": "description"},
    "S3::Bucket": {
        "BucketName": "bucket",
        "BucketEncryption": "@encryption",
        "LifecycleConfiguration": "@lifecycle",
        "PublicAccessBlockConfiguration": "@public",
        "VersioningConfiguration": "versioning_configuration",
        "Id": "id",
        "ExpirationInDays": "expiration.days",
        "Prefix": "prefix",
    },
    "S3::BucketPolicy": {"PolicyDocument": "policy"},
    "SNS::Topic": {"TopicName": "name"},
    "SNS::TopicPolicy": {"PolicyDocument": "policy", "Topics": "@topics"},
    "ServiceDiscovery::Service": {"Type": "type", "TTL": "ttl"},
}
"""What is called otherwise, by the type and the property; `@` names a function below, a dot leads into a block."""

ALREADY = frozenset({"Tags"})
"""Properties that are no attribute here: tags are checked by tests of their own."""
REFERENCED = frozenset(
    {"aws_vpc", "aws_subnet", "aws_security_group", "aws_route_table", "aws_lb", "aws_lb_target_group"}
    | {"aws_lb_listener", "aws_ecs_task_definition", "aws_internet_gateway", "aws_nat_gateway"}
)
"""Types whose id is what `Ref` returns, so that cfn-lint can follow from one resource to another."""


def template(
    resources: Sequence[Resource], written: Mapping[str, frozenset[str]], definitions: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the template of what a state holds; `Metadata` of each resource names its address in Terraform.

    Args:
        resources: what was made.
        written: which attributes the files set, by address: all others are AWS's, or made up in its place.
        definitions: what a release registers, by service: the arguments of RegisterTaskDefinition.
    """
    wholes = [each for each in resources if each.type in TYPES]
    references = {each.values["id"]: {"Ref": _logical(each)} for each in wholes if each.type in REFERENCED}
    found = {}
    for each in wholes:
        kind = TYPES[each.type]
        own = {name: value for name, value in each.values.items() if name in written[each.block] | {"arn"}}
        nothing = dict.fromkeys(each.values) | {"description": "Managed by Terraform"}
        values = {**nothing, **own, **_parts(each, resources)}
        converted = _object(values, schema(kind), schema(kind), kind)
        others = {key: value for key, value in references.items() if value != {"Ref": _logical(each)}}
        properties = {key: _referring(value, others) for key, value in converted.items()}
        found[_logical(each)] = {
            "Type": f"AWS::{kind}",
            "Metadata": {"Address": each.address},
            "Properties": {key: value for key, value in properties.items() if key not in schema_read_only(kind)},
        }
    kind = "ECS::TaskDefinition"
    for name, definition in definitions.items():
        found[f"Release{_word(name)}"] = {
            "Type": f"AWS::{kind}",
            "Metadata": {"Address": f'output.release["{name}"]'},
            "Properties": _object(definition, schema(kind), schema(kind), kind),
        }
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": found}


def unmapped(resources: Sequence[Resource]) -> set[str]:
    """Return the types that nobody looks at and nobody says why."""
    return {each.type for each in resources} - TYPES.keys() - PARTS.keys() - NOT_LOOKED_AT.keys()


@cache
def schema(kind: str) -> dict[str, Any]:
    """Return CloudFormation's schema of a type."""
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", f"AWS::{kind}").schema
    return found


@cache
def schema_read_only(kind: str) -> frozenset[str]:
    """Return the properties that AWS sets."""
    found = (path.removeprefix("/properties/") for path in schema(kind).get("readOnlyProperties", []))
    return frozenset(path for path in found if "/" not in path)


def _logical(resource: Resource) -> str:
    return _word(resource.address)


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", " ", name).title().replace(" ", "")


def _parts(whole: Resource, resources: Sequence[Resource]) -> dict[str, Any]:
    """Return the attributes of those resources that are parts of another one, under their type's name."""
    found: dict[str, Any] = {}
    for each in resources:
        kind, key, own = PARTS.get(each.type, ("", "", ""))
        if kind == whole.type and each.values[key] == whole.values[own]:
            found |= {each.type: each.values} | {
                name: value for name, value in each.values.items() if name in {"policy", "versioning_configuration"}
            }
    if "policy" in found and whole.type == "aws_ecr_repository":
        found["lifecycle_policy"] = {"policy": found.pop("policy")}
    return found


def _object(values: Mapping[str, Any], node: Mapping[str, Any], root: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return an object of CloudFormation from attributes of Terraform, or from JSON of AWS's API."""
    found = {}
    for name, inner in (node.get("properties") or {}).items():
        value = _attribute(values, name, kind)
        converted = None if value is None else _value(value, _resolved(inner, root), root, kind)
        if converted is not None and name not in ALREADY:
            found[name] = converted
    return found


def _attribute(values: Mapping[str, Any], name: str, kind: str) -> Any:
    """Return what a property is called here, and has; None where nothing is of that name or it is empty."""
    renamed = RENAMED.get(kind, {}).get(name, "")
    if renamed.startswith("@"):
        return COMPUTED[renamed](values)
    if "." in renamed:
        block, _, inner = renamed.partition(".")
        return ((values.get(block) or [{}])[0] or {}).get(inner)
    own = _snake(kind.rpartition("::")[2])
    names = [renamed, name, name[0].lower() + name[1:], _snake(name)]
    names += [_snake(name).removesuffix("s"), _snake(name).removeprefix(f"{own}_"), _snake(name).removesuffix("_list")]
    names += [_snake(name).removesuffix("_config")]
    return next((values[each] for each in names if values.get(each) not in (None, "", [], {})), None)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _value(value: Any, node: Mapping[str, Any], root: Mapping[str, Any], kind: str) -> Any:
    kinds = node.get("type") or ("object" if node.get("properties") else "any")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds:
        items = _resolved(node.get("items") or {}, root)
        return [_value(each, items, root, kind) for each in _listed(value, items)]
    if "object" in kinds:
        return _structure(value, node, root, kind)
    if "string" in kinds and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def _listed(value: Any, items: Mapping[str, Any]) -> list[Any]:
    """Return what is a list in CloudFormation: a block, JSON, or a map, which is one of pairs there."""
    if isinstance(value, str) and value.startswith("["):
        return list(json.loads(value))
    if isinstance(value, Mapping) and {"Value"} <= (items.get("properties") or {}).keys():
        key = next(iter(items["properties"].keys() & {"Name", "Key"}))
        return [{key: name, "Value": each} for name, each in value.items()]
    return value if isinstance(value, list) else [value]


def _structure(value: Any, node: Mapping[str, Any], root: Mapping[str, Any], kind: str) -> Any:
    """Return what is an object in CloudFormation: a block, or JSON."""
    if isinstance(value, list):
        return _value(value[0], node, root, kind) if value else None
    if isinstance(value, Mapping) and node.get("properties"):
        return _object(value, node, root, kind)
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def _resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        target: Any = root
        for part in str(node["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def _referring(value: Any, references: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return references.get(value, value)
    if isinstance(value, list):
        return [_referring(each, references) for each in value]
    return {key: _referring(each, references) for key, each in value.items()} if isinstance(value, dict) else value


def _deployment(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "DeploymentCircuitBreaker": values["deployment_circuit_breaker"],
        "MaximumPercent": values["deployment_maximum_percent"],
        "MinimumHealthyPercent": values["deployment_minimum_healthy_percent"],
    }


def _network(values: Mapping[str, Any]) -> dict[str, Any]:
    public = {True: "ENABLED", False: "DISABLED"}
    blocks = values["network_configuration"]
    return {"AwsvpcConfiguration": [{**each, "assign_public_ip": public[each["assign_public_ip"]]} for each in blocks]}


def _public(values: Mapping[str, Any]) -> Any:
    return values.get("aws_s3_bucket_public_access_block")


def _encryption(values: Mapping[str, Any]) -> Any:
    rules = values.get("aws_s3_bucket_server_side_encryption_configuration", {}).get("rule") or []
    found = [
        {
            "ServerSideEncryptionByDefault": {
                "SSEAlgorithm": each["apply_server_side_encryption_by_default"][0]["sse_algorithm"]
            }
        }
        for each in rules
    ]
    return {"ServerSideEncryptionConfiguration": found}


COMPUTED = {
    "@certificates": lambda values: (
        [{"CertificateArn": values["certificate_arn"]}] if values["certificate_arn"] else None
    ),
    "@deployment": _deployment,
    "@encryption": _encryption,
    "@forced": lambda values: {"EnableForceNewDeployment": values["force_new_deployment"]},
    "@lifecycle": lambda values: {"Rules": values.get("aws_s3_bucket_lifecycle_configuration", {}).get("rule") or []},
    "@matcher": lambda values: {"HttpCode": values["health_check"][0]["matcher"]},
    "@network": _network,
    "@none": lambda _values: [],
    "@parameters": lambda values: {each["name"]: each["value"] for each in values["parameter"]},
    "@public": _public,
    "@scheme": lambda values: "internal" if values["internal"] else "internet-facing",
    "@topics": lambda values: [values["arn"]],
    "@vpc": lambda _values: "VPC",
}


def addresses(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the logical id of each resource of a template, and its address."""
    for name, each in document["Resources"].items():
        yield name, each["Metadata"]["Address"]
