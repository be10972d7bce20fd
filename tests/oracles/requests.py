"""botocore's models of AWS, taken at their word: patterns, enums, lengths and keys that boto3 itself lets through."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from tests.cloud.strict import problems as strict
from tests.oracles.state import State
from tests.oracles.tasks import templates


@cache
def model(service: str) -> ServiceModel:
    """Return AWS's model of a service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def problems(service: str, operation: str, request: Any) -> Iterator[str]:
    """Yield what AWS would refuse of a request."""
    shape: Shape = model(service).operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        yield report.generate_report()
    else:
        yield from strict(request, shape, operation)


def answers(service: str, operation: str, answer: Any) -> Iterator[str]:
    """Yield what AWS would never answer: a fake that does teaches us something wrong."""
    shape: Shape = model(service).operation_model(operation).output_shape
    yield from strict(answer, shape, operation)


def task_definitions(state: State) -> Iterator[tuple[str, str]]:
    """Yield what ECS would refuse of what a release registers."""
    for name, definition in templates(state).items():
        yield from (
            (f'output.release["{name}"]', each) for each in problems("ecs", "RegisterTaskDefinition", definition)
        )


WORDS = {
    ("aws_ecs_cluster", "setting.name"): ("ecs", "ClusterSettingName"),
    ("aws_ecs_cluster", "setting.value"): ("", "enabled disabled enhanced"),
    ("aws_lb_target_group", "target_type"): ("elbv2", "TargetTypeEnum"),
    ("aws_ssm_parameter", "type"): ("ssm", "ParameterType"),
    ("aws_cloudwatch_metric_alarm", "comparison_operator"): ("cloudwatch", "ComparisonOperator"),
    ("aws_cloudwatch_metric_alarm", "treat_missing_data"): ("", "breaching notBreaching ignore missing"),
    ("aws_cloudwatch_metric_alarm", "statistic"): ("cloudwatch", "Statistic"),
    ("aws_cloudwatch_log_metric_filter", "metric_transformation.unit"): ("logs", "StandardUnit"),
    ("aws_elasticache_replication_group", "auth_token_update_strategy"): ("elasticache", "AuthTokenUpdateStrategyType"),
    ("aws_sns_topic_subscription", "protocol"): ("", "email email-json http https lambda sms sqs application firehose"),
    ("aws_flow_log", "traffic_type"): ("ec2", "TrafficType"),
    ("aws_eip", "domain"): ("", "vpc"),
    ("aws_vpc_endpoint", "vpc_endpoint_type"): ("ec2", "VpcEndpointType"),
}
"""Arguments that Terraform hands on, and the model's list of their words; or, where it has none, that of AWS's text."""


def words_are_ones_of_aws(state: State) -> Iterator[tuple[str, str]]:
    """Yield the words that are in none of AWS's lists."""
    for (kind, path), (service, shape) in WORDS.items():
        allowed = set(model(service).shape_for(shape).enum) if service else set(shape.split())
        for each in state.of(kind):
            for word in _at(each.values, path):
                if word is not None and word not in allowed:
                    yield each.address, f"{path} is none of {', '.join(sorted(allowed))}: {word}"


def _at(values: Any, path: str) -> list[Any]:
    name, _, rest = path.partition(".")
    return [found for each in values[name] or [] for found in _at(each, rest)] if rest else [values[name]]


RULES = (task_definitions, words_are_ones_of_aws)
