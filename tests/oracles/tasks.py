"""Rules of AWS on services and their tasks that no schema has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.oracles.state import State

Found = Iterator[tuple[str, str]]
FIRST = {
    "aws_route.private",
    "aws_route_table_association.private",
    "aws_nat_gateway.main",
    "aws_vpc_endpoint.interface",
    "aws_vpc_endpoint.s3",
    "aws_vpc_security_group_egress_rule.service_to_internet",
    "aws_vpc_security_group_egress_rule.service_to_endpoints",
    "aws_vpc_security_group_egress_rule.service_to_s3",
    "aws_vpc_security_group_ingress_rule.endpoints_from_service",
    "aws_vpc_security_group_egress_rule.load_balancer_to_service",
    "aws_vpc_security_group_ingress_rule.service_from_load_balancer",
    "aws_iam_role_policy.execution",
    "aws_lb_listener_rule.path",
    "aws_ecs_cluster_capacity_providers.main",
}
"""What has to be there before a service is: its first tasks pull an image, and answer their health checks."""
BEFORE = {
    "aws_lb.main": "aws_s3_bucket_policy.access_logs",  # it tries to write at once
    "aws_db_instance.main": "aws_cloudwatch_log_group.database",  # else RDS makes one, without a key and for ever
    "aws_nat_gateway.main": "aws_internet_gateway.main",
    "aws_scheduler_schedule.job": "aws_iam_role_policy.schedule",
}
"""What else has to be there before something is made that names it nowhere."""
BOUNDS = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}
"""https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html"""


def templates(state: State) -> dict[str, dict[str, Any]]:
    """Return the task definitions that a release registers, by their services and jobs."""
    release = state.outputs["release"]
    return {name: each["task_definition"] for part in ("services", "jobs") for name, each in release[part].items()}


def services_start_only_when_they_can(state: State) -> Found:
    there = {each.block for each in state.resources}
    for each in state.of("aws_ecs_service"):
        for lacking in sorted((FIRST & there) - each.dependencies):
            yield each.address, f"may start before {lacking} is there"
    for each in state.resources:
        first = BEFORE.get(each.block)
        if first in there - each.dependencies:
            yield each.address, f"may be made before {first} is there"


def services_reach_each_other(state: State) -> Found:
    """By Service Connect: a proxy listens at its port, and a group of each service lets others of it in and out."""
    sides = [
        {
            (each.values["security_group_id"], each.values["from_port"])
            for each in state.of(f"aws_vpc_security_group_{side}_rule")
            if each.values["security_group_id"] == each.values["referenced_security_group_id"]
        }
        for side in ("egress", "ingress")
    ]
    for each in state.of("aws_ecs_service"):
        groups = each.values["network_configuration"][0]["security_groups"]
        ports = {port for group, port in sides[0] & sides[1] if group in groups}
        release = state.outputs["release"]["services"][each.values["name"]]["connection"]
        proxies = [one.get("ingressPortOverride") for one in release["services"]]
        for part in each.values["service_connect_configuration"]:
            proxies += [one["ingress_port_override"] for one in part["service"]]
        if not ports or set(proxies) - ports:
            yield each.address, "other services do not reach its proxy, or it does not reach theirs"
        names = {
            mapping.get("name")
            for container in templates(state)[each.values["name"]]["containerDefinitions"]
            for mapping in container.get("portMappings") or []
        }
        if {one["portName"] for one in release["services"]} - names:
            yield each.address, "Service Connect names a port that its definition has not"


def services_can_roll(state: State) -> Found:
    providers = state.of("aws_ecs_cluster_capacity_providers")[0].values["capacity_providers"]
    private = state.tier("private").keys()
    for each in state.of("aws_ecs_service"):
        values = each.values
        least, most = values["deployment_minimum_healthy_percent"], values["deployment_maximum_percent"]
        if not 0 <= least <= 100 <= most or most - least < 50:
            yield each.address, f"between {least} and {most} percent no task can be replaced by another"
        if not all(
            one["enable"] and one["rollback"] for one in values["deployment_circuit_breaker"] or [{"enable": 0}]
        ):
            yield each.address, "a failed deployment is not rolled back"
        if bool(values["health_check_grace_period_seconds"]) != bool(values["load_balancer"]):
            yield each.address, "a grace period goes with a load balancer, and nothing else"
        if {one["capacity_provider"] for one in values["capacity_provider_strategy"]} - set(providers):
            yield each.address, "has a capacity provider that the cluster has not"
        if sum(one["weight"] for one in values["capacity_provider_strategy"]) < 1:
            yield each.address, "no capacity provider has a weight"
        for network in values["network_configuration"]:
            if not network["security_groups"] or not set(network["subnets"]) <= private or network["assign_public_ip"]:
                yield each.address, "is not in the private subnets, or has no security group"


def balancers_reach_the_tasks(state: State) -> Found:
    groups = {each.values["arn"]: each for each in state.of("aws_lb_target_group")}
    for each in state.of("aws_ecs_service"):
        definition = templates(state)[each.values["name"]]
        ports = _ports(definition)
        for one in each.values["load_balancer"]:
            if one["container_port"] not in ports.get(one["container_name"], ()):
                yield each.address, f"The container {one['container_name']} has no port {one['container_port']}"
            if one["target_group_arn"] not in groups:
                yield each.address, "the target group is none of ours"


def health_checks_are_ones(state: State) -> Found:
    for each in state.of("aws_lb_target_group"):
        check = each.values["health_check"][0]
        if each.values["target_type"] != "ip":
            yield each.address, "tasks with a network of their own are targets by their addresses"
        if check["timeout"] >= check["interval"]:
            yield each.address, "the timeout of a health check has to be shorter than its interval"
        if not all(2 <= check[f"{name}healthy_threshold"] <= 10 for name in ("", "un")):
            yield each.address, "a threshold is 2 to 10"
        if not str(check["path"] or "").startswith("/") or not str(check["matcher"]).isdigit():
            yield each.address, "the health check has no path, or no status code"
        if len(each.values["name"]) > 32 or each.values["name"].startswith("internal-"):
            yield each.address, "the name is longer than 32 letters, or reserved"


def _ports(definition: Mapping[str, Any]) -> dict[str, set[int]]:
    return {
        one["name"]: {port["containerPort"] for port in one.get("portMappings", [])}
        for one in definition["containerDefinitions"]
    }


def tasks_are_ones_of_fargate(state: State) -> Found:
    groups = {each.values["name"] for each in state.of("aws_cloudwatch_log_group")}
    exec_ = {each.values["name"] for each in state.of("aws_ecs_service") if each.values["enable_execute_command"]}
    roles = {each.values["arn"] for each in state.of("aws_iam_role")}
    for name, definition in templates(state).items():
        address = f'output.release["{name}"]'
        if definition["networkMode"] != "awsvpc" or definition["requiresCompatibilities"] != ["FARGATE"]:
            yield address, "Fargate wants awsvpc"
        if {definition["taskRoleArn"], definition["executionRoleArn"]} - roles:
            yield address, "has roles that are not there"
        for each in definition["containerDefinitions"]:
            if name in exec_ and each.get("readonlyRootFilesystem"):
                yield address, "ECS Exec needs a writable root file system"
            if each["logConfiguration"]["options"].get("awslogs-group") not in groups:
                yield address, "its log group is not there"
            yield from ((address, message) for message in _container(each))


def _container(each: Mapping[str, Any]) -> Iterator[str]:
    check = each.get("healthCheck") or {}
    for key, (least, most) in BOUNDS.items():
        if check and not least <= check[key] <= most:
            yield f"healthCheck.{key} is {least} to {most}"
    if check and check["command"][0] not in {"CMD", "CMD-SHELL", "NONE"}:
        yield "healthCheck.command begins with CMD or CMD-SHELL"
    if not 0 <= (each.get("stopTimeout") or 0) <= 120:
        yield "stopTimeout is at most 120 s on Fargate"
    linux = each.get("linuxParameters") or {}
    if set((linux.get("capabilities") or {}).get("add") or []) - {"SYS_PTRACE"}:
        yield "Fargate adds no capability but SYS_PTRACE"
    if any(one["hostPort"] != one["containerPort"] for one in each.get("portMappings", []) if "hostPort" in one):
        yield "hostPort has to be containerPort with awsvpc"
    if {one["name"] for one in each["environment"]} & {one["name"] for one in each["secrets"]}:
        yield "a secret cannot have the name of a variable"
    options = each["logConfiguration"]["options"]
    if each["logConfiguration"]["logDriver"] != "awslogs" or not options.get("awslogs-stream-prefix"):
        yield "Fargate wants awslogs with a prefix"
    if options.get("mode", "blocking") not in {"blocking", "non-blocking"}:
        yield "the mode of a log is blocking or non-blocking"


def scaling_is_of_services(state: State) -> Found:
    cluster = state.of("aws_ecs_cluster")[0].values["name"]
    names = {f"service/{cluster}/{each.values['name']}" for each in state.of("aws_ecs_service")}
    for each in state.of("aws_appautoscaling_target", "aws_appautoscaling_policy"):
        if each.values["resource_id"] not in names:
            yield each.address, f"{each.values['resource_id']} is no service"
        if each.values["scalable_dimension"] != "ecs:service:DesiredCount":
            yield each.address, f"{each.values['scalable_dimension']} is no dimension of a service"
    for each in state.of("aws_appautoscaling_target"):
        if not 0 <= each.values["min_capacity"] <= each.values["max_capacity"]:
            yield each.address, "the least is more than the most"


RULES = (
    services_start_only_when_they_can,
    services_reach_each_other,
    services_can_roll,
    balancers_reach_the_tasks,
    health_checks_are_ones,
    tasks_are_ones_of_fargate,
    scaling_is_of_services,
)
