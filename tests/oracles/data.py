"""Rules of AWS on databases, caches, images, alarms and logs that no schema has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.oracles.state import Resource, State

Found = Iterator[tuple[str, str]]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY, WEEK = 24 * 60, 7 * 24 * 60
MORE_STORAGE = 1.1
"""What storage has to be able to grow to, times what it has: RDS refuses less."""
STORAGE = {"gp2", "gp3", "io1", "io2", "standard"}
PARAMETERS = {
    "rds.force_ssl": {"0", "1"},
    "log_statement": {"none", "ddl", "mod", "all"},
    "maxmemory-policy": {
        *(f"{kind}-{keys}" for kind in ("allkeys", "volatile") for keys in ("lru", "lfu", "random")),
        *("noeviction", "volatile-ttl"),
    },
}
"""What parameters may be, of those that are words."""
NAMES: dict[str, set[str]] = {
    "AWS/ApplicationELB": {
        *("HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count", "RequestCount", "TargetResponseTime"),
        *("HealthyHostCount", "UnHealthyHostCount", "TargetConnectionErrorCount", "RejectedConnectionCount"),
    },
    "AWS/ECS": {"CPUUtilization", "MemoryUtilization"},
    "AWS/RDS": {
        "CPUUtilization",
        "DatabaseConnections",
        "FreeStorageSpace",
        "FreeableMemory",
        "ReadLatency",
        "WriteLatency",
    },
    "AWS/ElastiCache": {"DatabaseMemoryUsagePercentage", "EngineCPUUtilization", "CurrConnections", "Evictions"},
    "AWS/Scheduler": {"InvocationDroppedCount", "InvocationAttemptCount", "TargetErrorCount"},
    "ECS/ContainerInsights": {"RunningTaskCount", "DesiredTaskCount", "CpuUtilized", "MemoryUtilized"},
}
"""The metrics of AWS that an alarm of ours may be on."""
METRICS: dict[str, set[frozenset[str]]] = {
    "AWS/ApplicationELB": {frozenset({"LoadBalancer"}), frozenset({"LoadBalancer", "TargetGroup"})},
    "AWS/ECS": {frozenset({"ClusterName", "ServiceName"})},
    "AWS/RDS": {frozenset({"DBInstanceIdentifier"})},
    "AWS/ElastiCache": {frozenset({"CacheClusterId"})},
    "AWS/Scheduler": {frozenset({"ScheduleGroup"})},
    "ECS/ContainerInsights": {frozenset({"ClusterName", "ServiceName"})},
}
"""The dimensions that AWS's metrics have: an alarm with others never gets a value."""

DEPLOYMENTS, TASKS = ["ECS Deployment State Change"], ["ECS Task State Change"]


def databases_are_ones_of_rds(state: State) -> Found:
    families = {each.values["name"]: each.values["family"] for each in state.of("aws_db_parameter_group")}
    for each in state.of("aws_db_instance"):
        values = each.values
        family = f"{values['engine']}{str(values['engine_version']).partition('.')[0]}"
        if families.get(values["parameter_group_name"]) != family:
            yield each.address, f"its parameter group is not of {family}"
        if not re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{0,61}[a-z0-9]", values["identifier"]):
            yield each.address, f"{values['identifier']} is no name of a database"
        if (values["max_allocated_storage"] or 1000) < values["allocated_storage"] * MORE_STORAGE:
            yield each.address, "max_allocated_storage is at least a tenth more than allocated_storage"
        if bool(values["monitoring_interval"]) != bool(values["monitoring_role_arn"]):
            yield each.address, "monitoring needs an interval and a role"
        yield from _windows(each, values["backup_window"], values["maintenance_window"])
        yield from _group(each, state, "aws_db_subnet_group", values["db_subnet_group_name"])


def databases_are_safe(state: State) -> Found:
    for each in state.of("aws_db_instance"):
        values = each.values
        if not values["skip_final_snapshot"] and not values["final_snapshot_identifier"]:
            yield each.address, "has neither a last snapshot nor none"
        if values["storage_type"] not in STORAGE:
            yield each.address, f"{values['storage_type']} is no storage of RDS"
        if values["publicly_accessible"] or not values["storage_encrypted"]:
            yield each.address, "is public or not encrypted"
    for each in state.of("aws_db_parameter_group"):
        if {"rds.force_ssl": "1"}.items() - {one["name"]: one["value"] for one in each.values["parameter"]}.items():
            yield each.address, "takes connections in clear"
    for each in state.of("aws_db_parameter_group", "aws_elasticache_parameter_group"):
        for one in each.values["parameter"]:
            if one["value"] not in PARAMETERS.get(one["name"], {one["value"]}):
                yield each.address, f"{one['name']} cannot be {one['value']}"


def caches_are_ones_of_elasticache(state: State) -> Found:
    families = {each.values["name"]: each.values["family"] for each in state.of("aws_elasticache_parameter_group")}
    for each in state.of("aws_elasticache_replication_group"):
        values = each.values
        family = f"{values['engine']}{str(values['engine_version']).partition('.')[0]}"
        if families.get(values["parameter_group_name"]) != family:
            yield each.address, f"its parameter group is not of {family}"
        if values["automatic_failover_enabled"] and values["num_cache_clusters"] < 2:
            yield each.address, "to fail over takes a replica"
        if values["multi_az_enabled"] and not values["automatic_failover_enabled"]:
            yield each.address, "several zones take automatic failover"
        if not values["transit_encryption_enabled"] or not values["at_rest_encryption_enabled"]:
            yield each.address, "a password takes encryption"
        if not re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{0,38}[a-z0-9]", values["replication_group_id"]):
            yield each.address, f"{values['replication_group_id']} is no name of a cache"
        yield from _windows(each, values["snapshot_window"], values["maintenance_window"])
        yield from _group(each, state, "aws_elasticache_subnet_group", values["subnet_group_name"])


def _group(each: Resource, state: State, kind: str, name: str) -> Found:
    data = {identity: one.values["availability_zone"] for identity, one in state.tier("data").items()}
    group = next((one for one in state.of(kind) if one.values["name"] == name), None)
    zones = {data.get(identity) for identity in (group.values["subnet_ids"] if group else [])}
    if len(zones) < 2 or None in zones:
        yield each.address, "is not in the data subnets of two zones"


def _windows(each: Resource, daily: str, weekly: str) -> Found:
    first = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", daily)
    second = re.fullmatch(rf"({'|'.join(DAYS)}):(\d\d):(\d\d)-({'|'.join(DAYS)}):(\d\d):(\d\d)", weekly)
    if not first or not second:
        yield each.address, f"{daily} or {weekly} is no window"
        return
    begin, end = int(first[1]) * 60 + int(first[2]), int(first[3]) * 60 + int(first[4])
    week = [DAYS.index(second[at]) * DAY + int(second[at + 1]) * 60 + int(second[at + 2]) for at in (1, 4)]
    if (end - begin) % DAY < 30 or (week[1] - week[0]) % WEEK < 30:
        yield each.address, "a window is half an hour at least"
    daily_minutes = {(begin + minute) % DAY for minute in range((end - begin) % DAY)}
    weekly_minutes = {(week[0] + minute) % DAY for minute in range((week[1] - week[0]) % WEEK)}
    if daily_minutes & weekly_minutes:
        yield each.address, f"the windows {daily} and {weekly} overlap"


def alarms_get_values(state: State) -> Found:
    topics = {each.values["arn"] for each in state.of("aws_sns_topic")}
    known = json.dumps([each.values for each in state.resources if each.type != "aws_cloudwatch_metric_alarm"])
    for each in state.of("aws_cloudwatch_metric_alarm"):
        values, period = each.values, each.values["period"]
        if not (period in {10, 20, 30} or period % 60 == 0) or period * values["evaluation_periods"] > 86400:
            yield each.address, "its period is none, or all its periods are longer than a day"
        yield from ((each.address, message) for message in _metric(values, known))
        if bool(values["statistic"]) == bool(values["extended_statistic"]):
            yield each.address, "has one of statistic and extended_statistic"
        if set(values["alarm_actions"] or [None]) - topics:
            yield each.address, "reports to nobody"


def _metric(values: dict[str, Any], known: str) -> Iterator[str]:
    namespace, dimensions = values["namespace"], values["dimensions"]
    if namespace.startswith("AWS/") and namespace not in METRICS:
        yield f"{namespace} is no namespace that this stack has"
    if namespace not in METRICS:
        return
    if frozenset(dimensions) not in METRICS[namespace]:
        yield f"{namespace} has no metric by {', '.join(dimensions)}"
    if values["metric_name"] not in NAMES[namespace]:
        yield f"{namespace} has no {values['metric_name']}"
    for value in dimensions.values():
        if json.dumps(re.sub(r"-001$", "", value)) not in known:
            yield f"nothing is called {value}"


def own_metrics_are_written(state: State) -> Found:
    filters = {
        one["namespace"] + one["name"]
        for each in state.of("aws_cloudwatch_log_metric_filter")
        for one in each.values["metric_transformation"]
    }
    for each in state.of("aws_cloudwatch_metric_alarm"):
        if (
            each.values["namespace"] not in METRICS
            and each.values["namespace"] + each.values["metric_name"] not in filters
        ):
            yield each.address, "nothing writes its metric"


def images_expire_as_ecr_understands_it(state: State) -> Found:
    kinds = {"imageCountMoreThan": False, "sinceImagePushed": True, "sinceImagePulled": True}
    for each in state.of("aws_ecr_lifecycle_policy"):
        rules: list[dict[str, Any]] = sorted(
            json.loads(each.values["policy"])["rules"], key=lambda one: one["rulePriority"]
        )
        if len({one["rulePriority"] for one in rules}) < len(rules):
            yield each.address, "two rules have one priority"
        for one in rules:
            selection = one["selection"]
            if selection["countType"] not in kinds or ("countUnit" in selection) != kinds[selection["countType"]]:
                yield each.address, "a count is of images, or of days since they were pushed"
            if selection.get("countUnit", "days") != "days" or selection["countNumber"] < 1:
                yield each.address, "counts days, one at least"
            if selection["tagStatus"] not in {"any", "tagged", "untagged"} or one["action"]["type"] != "expire":
                yield each.address, "knows no such tagStatus or action"
        if any(one["selection"]["tagStatus"] == "any" for one in rules[:-1]):
            yield each.address, "the rule for any tag is the last one"


def events_are_ones(state: State) -> Found:
    topics = {each.values["arn"] for each in state.of("aws_sns_topic")}
    rules = {each.values["name"] for each in state.of("aws_cloudwatch_event_rule")}
    for each in state.of("aws_cloudwatch_event_rule"):
        pattern = json.loads(each.values["event_pattern"])
        kinds, detail = pattern["detail-type"], pattern.get("detail", {})
        if pattern.get("source") == ["aws.ecs"] and kinds not in (DEPLOYMENTS, TASKS):
            yield each.address, "ECS sends no events of that kind"
        if kinds == DEPLOYMENTS and set(detail.get("eventName", [None])) - {"SERVICE_DEPLOYMENT_FAILED"}:
            yield each.address, "ECS knows no such event of a deployment"
        if kinds == TASKS and set(detail.get("lastStatus", [None])) - {"STOPPED"}:
            yield each.address, "would be told of tasks that run"
        if pattern.keys() - {"source", "detail-type", "resources", "detail", "account", "region"}:
            yield each.address, "an event has no such field"
    for each in state.of("aws_cloudwatch_event_target"):
        if each.values["arn"] not in topics or each.values["rule"] not in rules:
            yield each.address, "is no target of ours"


def parameters_are_secret(state: State) -> Found:
    release = state.outputs["release"]
    for each in state.of("aws_ssm_parameter"):
        if each.values["type"] != "SecureString":
            yield each.address, "is not encrypted"
        if not each.values["name"].startswith(f"/{release['stack']}/{release['environment']}/"):
            yield each.address, "is not where roles may read it"


RULES = (
    databases_are_ones_of_rds,
    databases_are_safe,
    caches_are_ones_of_elasticache,
    alarms_get_values,
    own_metrics_are_written,
    images_expire_as_ecr_understands_it,
    events_are_ones,
    parameters_are_secret,
)
