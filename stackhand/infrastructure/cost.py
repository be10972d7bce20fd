"""About what the planned resources cost a month while nothing happens: what is paid by the hour, not by use.

Prices are AWS's in us-east-1, in dollars, each with where and when it was read; what nobody has read is an estimate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stackhand.infrastructure.documents import Resource, TerraformPlan

REGION = "us-east-1"
HOURS = 730
"""Of a month."""
READ = "2026-11"


class Price(msgspec.Struct, frozen=True):
    """What one unit costs.

    Args:
        dollars: an hour, or a month.
        source: where it was read; empty: nowhere, so that it is an estimate.
        read: the date of the source, or when it was read.
    """

    dollars: float
    source: str = ""
    read: str = READ


FARGATE = "vantage.sh/blog/fargate-pricing"
NETWORK = "zacfukuda.com"
DATABASES = "infratally.com"

VCPU_HOUR = {"ARM64": Price(0.03238, FARGATE), "X86_64": Price(0.04048, FARGATE)}
GB_HOUR = {"ARM64": Price(0.00356, FARGATE), "X86_64": Price(0.004445, FARGATE)}
SPOT_SHARE = Price(0.30)
"""What Fargate Spot costs of that, about: it changes with supply."""

NODE_HOUR: Mapping[tuple[str, str], Price] = {
    ("postgres", "db.t4g.micro"): Price(0.016, DATABASES, "2026"),
    ("postgres", "db.t4g.small"): Price(0.032, DATABASES, "2026"),
    ("postgres", "db.t4g.medium"): Price(0.065, DATABASES, "2026"),
    ("valkey", "cache.t4g.micro"): Price(0.0128),
    ("valkey", "cache.t4g.small"): Price(0.0256),
    ("valkey", "cache.t4g.medium"): Price(0.052),
    ("redis", "cache.t4g.micro"): Price(0.016),
    ("redis", "cache.t4g.small"): Price(0.032),
    ("redis", "cache.t4g.medium"): Price(0.065),
}
"""By engine, for the same node costs a fifth less with Valkey than with Redis OSS."""
GP3_GB_MONTH = Price(0.115, "usage.ai", "2026-06")
ACU_HOUR = Price(0.12, "c3x.dev/blog/aws-aurora-serverless-v2-cost", "2026")
"""Of Aurora Serverless v2, with storage and requests beside it."""
AWAKE = 0.5
"""ACU that it has at least while anybody is connected."""
AURORA_GB_MONTH = Price(0.10, "awsnegotiations.com/blog/aurora-serverless-v2-pricing", "2026-05")
AURORA_GB = 10
"""What a small database stores, about: Aurora is paid by what is stored."""
CACHE_GB_HOUR = Price(0.084, "usage.ai/blogs/aws/database-savings-plans/elasticache/serverless-pricing", "2026-06")
CACHE_GB = 0.1
"""The least that a serverless Valkey is paid for; requests cost $0.0023 a million units beside it."""
NAT_HOUR = Price(0.045, NETWORK, "2026-06-01")
ENDPOINT_HOUR = Price(0.01, NETWORK, "2026-06-01")
LOAD_BALANCER_HOUR = Price(0.0225, "cloud-horizons.com", "2026-05-08")
IPV4_HOUR = Price(0.005, "factualminds.com", "2026-06-13")
KEY_MONTH = Price(1.0)
ALARM_MONTH = Price(0.10)
METRIC_MONTH = Price(0.30, "signoz.io/guides/cloudwatch-pricing", "2026-02-15")
LOGS_GB = Price(0.50, "factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards", "2026")

INSIGHTS_CLUSTER, INSIGHTS_SERVICE, INSIGHTS_FAMILY = 13, 15, 10
"""How many metrics Container Insights writes for each cluster, service, and family of task definitions.

Counted in its table of metrics and dimensions, read 2026-11:
docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html
"""
COMPONENTS = 5
"""How many components a service reports on, about: each is a metric of its own."""
FLOW_GB = 0.2
"""What the flow log of refused connections brings in a month, about: a public address is always knocked at."""

Resources = defaultdict[str, list[Resource]]  # by their type


class CostLine(msgspec.Struct, frozen=True):
    """One part of the bill.

    Args:
        name: what.
        number: how many of it.
        month: dollars; None where we know no price.
        source: where the price was read; empty where the line is an estimate.
        read: when.
    """

    name: str
    number: float
    month: float | None
    source: str = ""
    read: str = ""

    @property
    def estimated(self) -> bool:
        """Whether its price was never read, or how much there is of it depends on use."""
        return self.month is not None and not self.source


class Cost(msgspec.Struct, frozen=True):
    """The parts of the bill, the dearest first."""

    lines: list[CostLine]

    @property
    def month(self) -> float:
        """Dollars a month, of what has a price."""
        return sum(line.month or 0.0 for line in self.lines)

    @property
    def estimated(self) -> float:
        """Dollars a month that are an estimate."""
        return sum(line.month or 0.0 for line in self.lines if line.estimated)

    @property
    def unknown(self) -> list[str]:
        """What we know no price of."""
        return [line.name for line in self.lines if line.month is None]

    def summary(self) -> str:
        """Return it as a sentence's end: the sum, and what most of it is for."""
        dearest = ", ".join(f"{line.name} ${line.month:.0f}" for line in self.lines[:3] if line.month)
        more = f"; without {', '.join(self.unknown)}" if self.unknown else ""
        guessed = f", ${self.estimated:.0f} of it estimated" if self.estimated >= 1 else ""
        return f"about ${self.month:.0f} a month before traffic{guessed} ({dearest}; {REGION}, {READ}{more})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as the `cost` of docs/output.md."""
        return {
            "month": round(self.month, 2),
            "estimated": round(self.estimated, 2),
            "currency": "USD",
            "region": REGION,
            "read": READ,
            "lines": [msgspec.to_builtins(line) for line in self.lines],
            "unknown": self.unknown,
        }


def estimate(plan: TerraformPlan) -> Cost:
    """Return what the resources of a plan cost, once all of it is there."""
    resources: Resources = defaultdict(list)
    for each in plan.planned_values.managed():
        resources[each.type].append(each)
    lines = [line for line in _lines(resources) if line.number]
    return Cost(sorted(lines, key=lambda line: -(line.month or 0.0)))


def _lines(resources: Resources) -> Iterator[CostLine]:
    yield from _tasks(resources)
    for each in resources["aws_db_instance"]:
        storage = float(each.values["allocated_storage"]) * GP3_GB_MONTH.dollars
        yield _nodes(each, each.values["instance_class"], 2 if each.values.get("multi_az") else 1, storage)
    yield from _clusters(resources)
    for each in resources["aws_elasticache_replication_group"]:
        yield _nodes(each, each.values["node_type"], int(each.values.get("num_cache_clusters") or 1))
    for each in resources["aws_elasticache_serverless_cache"]:
        price = CACHE_GB_HOUR
        yield CostLine(f"{each.index}, serverless", 1, CACHE_GB * price.dollars * HOURS, price.source, price.read)
    gateways, zones = resources["aws_nat_gateway"], len(resources["aws_subnet"]) // 3
    regional = sum(zones for each in gateways if each.values.get("availability_mode") == "regional")
    zonal = sum(each.values.get("availability_mode") != "regional" for each in gateways)
    yield _paid("NAT gateways", zonal + regional, NAT_HOUR)  # a regional one is paid in each zone
    kinds = [each.values.get("vpc_endpoint_type") for each in resources["aws_vpc_endpoint"]]
    yield _paid("endpoints", kinds.count("Interface") * zones, ENDPOINT_HOUR)
    balancers = len(resources["aws_lb"])
    yield _paid("load balancer", balancers, LOAD_BALANCER_HOUR)
    yield _paid("public addresses", balancers * zones + regional + len(resources["aws_eip"]), IPV4_HOUR)
    yield _paid("keys", len(resources["aws_kms_key"]), KEY_MONTH, hours=1)
    yield _paid("alarms", len(resources["aws_cloudwatch_metric_alarm"]), ALARM_MONTH, hours=1)
    yield _paid("signing key", int(bool(resources["aws_kms_key"])), KEY_MONTH, hours=1)  # made by bootstrap
    yield from _observed(resources)


def _observed(resources: Resources) -> Iterator[CostLine]:
    """What is paid for being watched: it depends on use, so it is an estimate, whatever the price."""
    metrics = 0
    for each in resources["aws_ecs_cluster"]:
        insights = {one["name"]: one["value"] for one in each.values.get("setting") or []}.get("containerInsights")
        if insights not in {None, "disabled"}:
            services = len(resources["aws_ecs_service"])
            roles = {each.index for each in resources["aws_iam_role"]} - {"github"}
            families = sum(isinstance(name, str) for name in roles)  # of services and of jobs; a number is of a count
            metrics += INSIGHTS_CLUSTER + services * INSIGHTS_SERVICE + families * INSIGHTS_FAMILY
    yield CostLine("Container Insights", metrics, metrics * METRIC_MONTH.dollars)
    own = len(resources["aws_cloudwatch_log_metric_filter"]) * COMPONENTS
    yield CostLine("custom metrics", own, own * METRIC_MONTH.dollars)
    flows = len(resources["aws_flow_log"])
    yield CostLine("flow logs", flows, flows * FLOW_GB * LOGS_GB.dollars)


def _tasks(resources: Resources) -> Iterator[CostLine]:
    """Each service at its lower bound; the first task on demand, the others on Spot as far as that is wanted."""
    sizes = {each.index: each.values for each in resources["aws_ecs_task_definition"]}
    services = {each.index: each.values for each in resources["aws_ecs_service"]}
    for target in resources["aws_appautoscaling_target"]:
        name = str(target.index)
        size, number = sizes[name], int(target.values["min_capacity"])
        architecture = (size.get("runtime_platform") or [{}])[0].get("cpu_architecture") or "X86_64"
        vcpu, memory = VCPU_HOUR[architecture], GB_HOUR[architecture]
        hour = int(size["cpu"]) / 1024 * vcpu.dollars + int(size["memory"]) / 1024 * memory.dollars
        weights = {each["capacity_provider"]: each for each in services[name].get("capacity_provider_strategy") or []}
        spot = (weights.get("FARGATE_SPOT") or {}).get("weight", 0) / 100
        paid = min(number, 1) + max(0, number - 1) * (1 - spot * (1 - SPOT_SHARE.dollars))
        guessed = number > 1 and spot > 0
        source, read = ("", "") if guessed else (vcpu.source, vcpu.read)
        yield CostLine(f"tasks of {name}", number, hour * paid * HOURS, source, read)


def _clusters(resources: Resources) -> Iterator[CostLine]:
    """Each at its lower bound; one that pauses, as if somebody were always connected, which nobody knows."""
    for each in resources["aws_rds_cluster"]:
        each_of = resources["aws_rds_cluster_instance"]
        instances = [one for one in each_of if str(one.index).rpartition("-")[0] == each.index]
        least = float(each.values["serverlessv2_scaling_configuration"][0]["min_capacity"])
        units = max(least, AWAKE) * len(instances)
        month = units * ACU_HOUR.dollars * HOURS + AURORA_GB * AURORA_GB_MONTH.dollars
        source, read = (ACU_HOUR.source, ACU_HOUR.read) if least else ("", "")
        pauses = "" if least else ", while anybody is connected"
        yield CostLine(f"{each.index}, serverless{pauses}", len(instances), month, source, read)


def _nodes(each: Resource, kind: str, number: int, storage: float = 0.0) -> CostLine:
    """Return what some nodes of a database or cache cost: the price depends on the engine, too."""
    price, name = NODE_HOUR.get((str(each.values.get("engine")), kind)), f"{each.index} on {kind}"
    if price is None:
        return CostLine(name, number, None)
    return CostLine(name, number, number * (price.dollars * HOURS + storage), price.source, price.read)


def _paid(name: str, number: int, price: Price, hours: int = HOURS) -> CostLine:
    return CostLine(name, number, number * price.dollars * hours, price.source, price.read)
