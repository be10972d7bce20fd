"""About what the planned resources cost a month while nothing happens: what is paid by the hour, not by use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stackhand.infrastructure.documents import Resource, TerraformPlan
from stackhand.infrastructure.plan import prices
from stackhand.infrastructure.plan.prices import HOURS, READ, REGION, Price

Resources = Mapping[str, list[Resource]]  # by their type


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
    resources: dict[str, list[Resource]] = {}
    for each in plan.planned_values.managed():
        resources.setdefault(each.type, []).append(each)
    lines = [line for line in _lines(resources) if line.number]
    return Cost(sorted(lines, key=lambda line: -(line.month or 0.0)))


def _lines(resources: Resources) -> Iterator[CostLine]:
    yield from _tasks(resources)
    yield from _databases(resources.get("aws_db_instance", []))
    yield from _clusters(resources)
    for each in resources.get("aws_elasticache_replication_group", []):
        yield _nodes(each, each.values["node_type"], int(each.values.get("num_cache_clusters") or 1))
    for each in resources.get("aws_elasticache_serverless_cache", []):
        price = prices.CACHE_GB_HOUR
        yield CostLine(
            f"{each.index}, serverless", 1, prices.CACHE_GB * price.dollars * HOURS, price.source, price.read
        )
    gateways, zones = resources.get("aws_nat_gateway", []), len(resources.get("aws_subnet", [])) // 3
    regional = sum(zones for each in gateways if each.values.get("availability_mode") == "regional")
    zonal = sum(each.values.get("availability_mode") != "regional" for each in gateways)
    yield _hourly("NAT gateways", zonal + regional, prices.NAT_HOUR)  # a regional one is paid in each zone
    kinds = [each.values.get("vpc_endpoint_type") for each in resources.get("aws_vpc_endpoint", [])]
    yield _hourly("endpoints", kinds.count("Interface") * zones, prices.ENDPOINT_HOUR)
    balancers = len(resources.get("aws_lb", []))
    yield _hourly("load balancer", balancers, prices.LOAD_BALANCER_HOUR)
    yield _hourly(
        "public addresses", balancers * zones + regional + len(resources.get("aws_eip", [])), prices.IPV4_HOUR
    )
    for name, kind, price in (
        ("keys", "aws_kms_key", prices.KEY_MONTH),
        ("alarms", "aws_cloudwatch_metric_alarm", prices.ALARM_MONTH),
    ):
        yield _monthly(name, len(resources.get(kind, [])), price)
    yield _monthly("signing key", int(bool(resources.get("aws_kms_key"))), prices.KEY_MONTH)  # made by bootstrap
    yield from _observed(resources)


def _observed(resources: Resources) -> Iterator[CostLine]:
    """What is paid for being watched: it depends on use, so it is an estimate, whatever the price."""
    metrics = 0
    for each in resources.get("aws_ecs_cluster", []):
        insights = {one["name"]: one["value"] for one in each.values.get("setting") or []}.get("containerInsights")
        if insights not in {None, "disabled"}:
            services = len(resources.get("aws_ecs_service", []))
            families = len({*_indices(resources, "aws_iam_role")})  # of services and of jobs
            metrics += prices.INSIGHTS_CLUSTER + services * prices.INSIGHTS_SERVICE + families * prices.INSIGHTS_FAMILY
    yield CostLine("Container Insights", metrics, metrics * prices.METRIC_MONTH.dollars)
    own = len(resources.get("aws_cloudwatch_log_metric_filter", [])) * prices.COMPONENTS
    yield CostLine("custom metrics", own, own * prices.METRIC_MONTH.dollars)
    flows = len(resources.get("aws_flow_log", []))
    yield CostLine("flow logs", flows, flows * prices.FLOW_GB * prices.LOGS_GB.dollars)


def _indices(resources: Resources, kind: str) -> Iterator[str]:
    """Yield the names in a Compose file that resources of a type are for."""
    names = (each.index for each in resources.get(kind, []))
    return (name for name in names if isinstance(name, str) and name != "github")  # a number is one of a count


def _tasks(resources: Resources) -> Iterator[CostLine]:
    """Each service at its lower bound; the first task on demand, the others on Spot as far as that is wanted."""
    sizes = {each.index: each.values for each in resources.get("aws_ecs_task_definition", [])}
    services = {each.index: each.values for each in resources.get("aws_ecs_service", [])}
    for target in resources.get("aws_appautoscaling_target", []):
        name = str(target.index)
        size, number = sizes[name], int(target.values["min_capacity"])
        architecture = (size.get("runtime_platform") or [{}])[0].get("cpu_architecture") or "X86_64"
        vcpu, memory = prices.VCPU_HOUR[architecture], prices.GB_HOUR[architecture]
        hour = int(size["cpu"]) / 1024 * vcpu.dollars + int(size["memory"]) / 1024 * memory.dollars
        weights = {each["capacity_provider"]: each for each in services[name].get("capacity_provider_strategy") or []}
        spot = (weights.get("FARGATE_SPOT") or {}).get("weight", 0) / 100
        paid = min(number, 1) + max(0, number - 1) * (1 - spot * (1 - prices.SPOT_SHARE.dollars))
        guessed = number > 1 and spot > 0
        source, read = ("", "") if guessed else (vcpu.source, vcpu.read)
        yield CostLine(f"tasks of {name}", number, hour * paid * HOURS, source, read)


def _databases(resources: list[Resource]) -> Iterator[CostLine]:
    for each in resources:
        storage = float(each.values["allocated_storage"]) * prices.GP3_GB_MONTH.dollars
        yield _nodes(each, each.values["instance_class"], 2 if each.values.get("multi_az") else 1, storage)


def _clusters(resources: Resources) -> Iterator[CostLine]:
    """Each at its lower bound; one that pauses, as if somebody were always connected, which nobody knows."""
    for each in resources.get("aws_rds_cluster", []):
        each_of = resources.get("aws_rds_cluster_instance", [])
        instances = [one for one in each_of if str(one.index).rpartition("-")[0] == each.index]
        least = float(each.values["serverlessv2_scaling_configuration"][0]["min_capacity"])
        units = max(least, prices.AWAKE) * len(instances)
        month = units * prices.ACU_HOUR.dollars * HOURS + prices.AURORA_GB * prices.AURORA_GB_MONTH.dollars
        source, read = (prices.ACU_HOUR.source, prices.ACU_HOUR.read) if least else ("", "")
        pauses = "" if least else ", while anybody is connected"
        yield CostLine(f"{each.index}, serverless{pauses}", len(instances), month, source, read)


def _nodes(each: Resource, kind: str, number: int, storage: float = 0.0) -> CostLine:
    """Return what some nodes of a database or cache cost: the price depends on the engine, too."""
    price, name = prices.NODE_HOUR.get((str(each.values.get("engine")), kind)), f"{each.index} on {kind}"
    if price is None:
        return CostLine(name, number, None)
    return CostLine(name, number, number * (price.dollars * HOURS + storage), price.source, price.read)


def _hourly(name: str, number: int, price: Price) -> CostLine:
    return CostLine(name, number, number * price.dollars * HOURS, price.source, price.read)


def _monthly(name: str, number: int, price: Price) -> CostLine:
    return CostLine(name, number, number * price.dollars, price.source, price.read)
