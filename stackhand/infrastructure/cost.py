"""About what the planned resources cost a month while nothing happens: what is paid by the hour, not by use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stackhand.infrastructure import prices


class Line(msgspec.Struct, frozen=True):
    """One part of the bill: what, how many of it, and dollars a month; None where we know no price."""

    name: str
    number: float
    month: float | None


class Cost(msgspec.Struct, frozen=True):
    """The parts of the bill, the dearest first."""

    lines: list[Line]

    @property
    def month(self) -> float:
        """Dollars a month, of what has a price."""
        return sum(line.month or 0.0 for line in self.lines)

    @property
    def unknown(self) -> list[str]:
        """What we know no price of."""
        return [line.name for line in self.lines if line.month is None]

    def words(self) -> str:
        """Return it as a sentence's end: the sum, and what most of it is for."""
        dearest = ", ".join(f"{line.name} ${line.month:.0f}" for line in self.lines[:3] if line.month)
        more = f"; without {', '.join(self.unknown)}" if self.unknown else ""
        return f"about ${self.month:.0f} a month before traffic ({dearest}; {prices.REGION}, {prices.READ}{more})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as the `cost` of docs/output.md."""
        return {
            "month": round(self.month, 2),
            "currency": "USD",
            "region": prices.REGION,
            "read": prices.READ,
            "lines": [msgspec.to_builtins(line) for line in self.lines],
            "unknown": self.unknown,
        }


def estimate(plan: Mapping[str, Any]) -> Cost:
    """Return what the resources of a plan cost, once all of it is there."""
    module = plan.get("planned_values", {}).get("root_module", {})
    found: dict[str, list[dict[str, Any]]] = {}
    for each in module.get("resources", []):
        if each["mode"] == "managed":
            found.setdefault(each["type"], []).append({**each["values"], "_index": each.get("index")})
    lines = [line for line in _lines(found) if line.number]
    return Cost(sorted(lines, key=lambda line: -(line.month or 0.0)))


def _lines(found: Mapping[str, list[dict[str, Any]]]) -> Iterator[Line]:
    yield from _tasks(found)
    yield from _databases(found.get("aws_db_instance", []))
    yield from _caches(found.get("aws_elasticache_replication_group", []))
    gateways, zones = found.get("aws_nat_gateway", []), len(found.get("aws_subnet", [])) // 3
    yield _hourly("NAT gateways", len(gateways), prices.NAT_HOUR)
    endpoints = [each for each in found.get("aws_vpc_endpoint", []) if each.get("vpc_endpoint_type") == "Interface"]
    yield _hourly("endpoints", len(endpoints) * zones, prices.ENDPOINT_HOUR)
    balancers = len(found.get("aws_lb", []))
    yield _hourly("load balancer", balancers, prices.LOAD_BALANCER_HOUR)
    yield _hourly("public addresses", balancers * zones + len(found.get("aws_eip", [])), prices.IPV4_HOUR)
    for name, kind, price in (
        ("keys", "aws_kms_key", prices.KEY_MONTH),
        ("alarms", "aws_cloudwatch_metric_alarm", prices.ALARM_MONTH),
        ("names inside the network", "aws_service_discovery_private_dns_namespace", prices.ZONE_MONTH),
    ):
        number = len(found.get(kind, []))
        yield Line(name, number, number * price)


def _tasks(found: Mapping[str, list[dict[str, Any]]]) -> Iterator[Line]:
    """Each service at its lower bound; the first task on demand, the others on Spot as far as that is wanted."""
    sizes = {each["_index"]: each for each in found.get("aws_ecs_task_definition", [])}
    services = {each["_index"]: each for each in found.get("aws_ecs_service", [])}
    for target in found.get("aws_appautoscaling_target", []):
        name = target["_index"]
        size, number = sizes[name], int(target["min_capacity"])
        architecture = (size.get("runtime_platform") or [{}])[0].get("cpu_architecture") or "X86_64"
        hour = int(size["cpu"]) / 1024 * prices.VCPU_HOUR[architecture]
        hour += int(size["memory"]) / 1024 * prices.GB_HOUR[architecture]
        weights = {each["capacity_provider"]: each for each in services[name].get("capacity_provider_strategy") or []}
        spot = (weights.get("FARGATE_SPOT") or {}).get("weight", 0) / 100
        paid = min(number, 1) + max(0, number - 1) * (1 - spot * (1 - prices.SPOT_SHARE))
        yield Line(f"tasks of {name}", number, hour * paid * prices.HOURS)


def _databases(found: list[dict[str, Any]]) -> Iterator[Line]:
    for each in found:
        copies, hour = 2 if each.get("multi_az") else 1, prices.NODE_HOUR.get(each["instance_class"])
        name = f"{each['_index']} on {each['instance_class']}"
        storage = float(each["allocated_storage"]) * prices.GP3_GB_MONTH
        yield Line(name, copies, None if hour is None else copies * (hour * prices.HOURS + storage))


def _caches(found: list[dict[str, Any]]) -> Iterator[Line]:
    for each in found:
        nodes, hour = int(each.get("num_cache_clusters") or 1), prices.NODE_HOUR.get(each["node_type"])
        yield Line(
            f"{each['_index']} on {each['node_type']}", nodes, None if hour is None else nodes * hour * prices.HOURS
        )


def _hourly(name: str, number: int, price: float) -> Line:
    return Line(name, number, number * price * prices.HOURS)
