"""About what the planned resources cost a month while nothing happens: what is paid by the hour, not by use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class CostLine(msgspec.Struct, frozen=True):
    """One part of the bill: what, how many of it, and dollars a month; None where we know no price."""

    name: str
    number: float
    month: float | None


class Cost(msgspec.Struct, frozen=True):
    """The parts of the bill, the dearest first."""

    lines: list[CostLine]

    @property
    def month(self) -> float:
        """Dollars a month, of what has a price."""
        return sum(line.month or 0.0 for line in self.lines)

    @property
    def unknown(self) -> list[str]:
        """What we know no price of."""
        return [line.name for line in self.lines if line.month is None]

    def summary(self) -> str:
        """Return it as a sentence's end: the sum, and what most of it is for."""
        dearest = ", ".join(f"{line.name} ${line.month:.0f}" for line in self.lines[:3] if line.month)
        more = f"; without {', '.join(self.unknown)}" if self.unknown else ""
        return f"about ${self.month:.0f} a month before traffic ({dearest}; {REGION}, {READ}{more})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as the `cost` of docs/output.md."""
        return {
            "month": round(self.month, 2),
            "currency": "USD",
            "region": REGION,
            "read": READ,
            "lines": [msgspec.to_builtins(line) for line in self.lines],
            "unknown": self.unknown,
        }


def estimate(plan: Mapping[str, Any]) -> Cost:
    """Return what the resources of a plan cost, once all of it is there."""
    module = plan.get("planned_values", {}).get("root_module", {})
    resources: dict[str, list[dict[str, Any]]] = {}
    for each in module.get("resources", []):
        if each["mode"] == "managed":
            resources.setdefault(each["type"], []).append({**each["values"], "_index": each.get("index")})
    lines = [line for line in _lines(resources) if line.number]
    return Cost(sorted(lines, key=lambda line: -(line.month or 0.0)))


def _lines(resources: Mapping[str, list[dict[str, Any]]]) -> Iterator[CostLine]:
    yield from _tasks(resources)
    yield from _databases(resources.get("aws_db_instance", []))
    yield from _caches(resources.get("aws_elasticache_replication_group", []))
    gateways, zones = resources.get("aws_nat_gateway", []), len(resources.get("aws_subnet", [])) // 3
    yield _hourly("NAT gateways", len(gateways), NAT_HOUR)
    endpoints = [each for each in resources.get("aws_vpc_endpoint", []) if each.get("vpc_endpoint_type") == "Interface"]
    yield _hourly("endpoints", len(endpoints) * zones, ENDPOINT_HOUR)
    balancers = len(resources.get("aws_lb", []))
    yield _hourly("load balancer", balancers, LOAD_BALANCER_HOUR)
    yield _hourly("public addresses", balancers * zones + len(resources.get("aws_eip", [])), IPV4_HOUR)
    for name, kind, price in (
        ("keys", "aws_kms_key", KEY_MONTH),
        ("alarms", "aws_cloudwatch_metric_alarm", ALARM_MONTH),
    ):
        number = len(resources.get(kind, []))
        yield CostLine(name, number, number * price)
    yield CostLine("signing key", int(bool(resources.get("aws_kms_key"))), KEY_MONTH)  # made by bootstrap


def _tasks(resources: Mapping[str, list[dict[str, Any]]]) -> Iterator[CostLine]:
    """Each service at its lower bound; the first task on demand, the others on Spot as far as that is wanted."""
    sizes = {each["_index"]: each for each in resources.get("aws_ecs_task_definition", [])}
    services = {each["_index"]: each for each in resources.get("aws_ecs_service", [])}
    for target in resources.get("aws_appautoscaling_target", []):
        name = target["_index"]
        size, number = sizes[name], int(target["min_capacity"])
        architecture = (size.get("runtime_platform") or [{}])[0].get("cpu_architecture") or "X86_64"
        hour = int(size["cpu"]) / 1024 * VCPU_HOUR[architecture]
        hour += int(size["memory"]) / 1024 * GB_HOUR[architecture]
        weights = {each["capacity_provider"]: each for each in services[name].get("capacity_provider_strategy") or []}
        spot = (weights.get("FARGATE_SPOT") or {}).get("weight", 0) / 100
        paid = min(number, 1) + max(0, number - 1) * (1 - spot * (1 - SPOT_SHARE))
        yield CostLine(f"tasks of {name}", number, hour * paid * HOURS)


def _databases(resources: list[dict[str, Any]]) -> Iterator[CostLine]:
    for each in resources:
        copies, hour = 2 if each.get("multi_az") else 1, NODE_HOUR.get(each["instance_class"])
        name = f"{each['_index']} on {each['instance_class']}"
        storage = float(each["allocated_storage"]) * GP3_GB_MONTH
        yield CostLine(name, copies, None if hour is None else copies * (hour * HOURS + storage))


def _caches(resources: list[dict[str, Any]]) -> Iterator[CostLine]:
    for each in resources:
        nodes, hour = int(each.get("num_cache_clusters") or 1), NODE_HOUR.get(each["node_type"])
        yield CostLine(
            f"{each['_index']} on {each['node_type']}", nodes, None if hour is None else nodes * hour * HOURS
        )


def _hourly(name: str, number: int, price: float) -> CostLine:
    return CostLine(name, number, number * price * HOURS)


HOURS = 730
"""Of a month."""
READ = "2026-11"
REGION = "us-east-1"

VCPU_HOUR = {"ARM64": 0.03238, "X86_64": 0.04048}
GB_HOUR = {"ARM64": 0.00356, "X86_64": 0.004445}
SPOT_SHARE = 0.30
"""What Fargate Spot costs of that, about: it changes with supply."""

NODE_HOUR = {  # PostgreSQL and Valkey; Redis OSS costs a quarter more
    "db.t4g.micro": 0.016,
    "db.t4g.small": 0.032,
    "db.t4g.medium": 0.065,
    "cache.t4g.micro": 0.0128,
    "cache.t4g.small": 0.0256,
    "cache.t4g.medium": 0.052,
}
GP3_GB_MONTH = 0.115
NAT_HOUR = 0.045
ENDPOINT_HOUR = 0.01
LOAD_BALANCER_HOUR = 0.0225
IPV4_HOUR = 0.005
KEY_MONTH = 1.0
ALARM_MONTH = 0.10
