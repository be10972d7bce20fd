"""Whether tasks can be placed in their network and reach AWS from there: by a route, or by endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stackhand.release.target import Service


def problems(ec2: Any, services: Mapping[str, Service]) -> Iterator[str]:
    """Yield what would keep tasks from starting: what was deleted, and subnets without a way to AWS."""
    subnets = _users(services, "subnets")
    routed, groups = egress(ec2, [*subnets]), _users(services, "security_groups")
    known = _groups(ec2, [*groups])
    for kind, users, there in (("subnet", subnets, routed.keys()), ("security group", groups, known)):
        for name in users:
            if name not in there:
                yield f"{', '.join(users[name])}: the {kind} {name} is gone: somebody deleted it"
    for subnet, way in routed.items():
        if not way:
            yield f"the subnet {subnet} has no route out and its network no endpoints: tasks could not pull images"


def egress(ec2: Any, subnets: Sequence[str]) -> dict[str, bool]:
    """Return for each subnet there is whether its network has a way to AWS; one that was deleted is missing."""
    # Asked by a filter, for one id that does not exist would be an error about all of them.
    there = ec2.describe_subnets(Filters=[{"Name": "subnet-id", "Values": list(subnets)}])["Subnets"]
    networks = {each["SubnetId"]: each["VpcId"] for each in there}
    vpcs = sorted(set(networks.values()))
    if not vpcs:
        return {}
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": vpcs}])["RouteTables"]
    ends = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": vpcs}])["VpcEndpoints"]
    with_endpoint = {each["VpcId"] for each in ends if ".ecr." in each.get("ServiceName", "")}
    return {
        subnet: networks[subnet] in with_endpoint or _has_route(_table_of(tables, subnet, networks[subnet]))
        for subnet in subnets
        if subnet in networks
    }


def _groups(ec2: Any, groups: Sequence[str]) -> frozenset[str]:
    """Return those of the security groups that exist."""
    found = ec2.describe_security_groups(Filters=[{"Name": "group-id", "Values": list(groups)}])["SecurityGroups"]
    return frozenset(each["GroupId"] for each in found)


def _users(services: Mapping[str, Service], field: str) -> dict[str, list[str]]:
    """Return which services use each subnet or security group."""
    found: dict[str, list[str]] = {}
    for name, service in services.items():
        for each in getattr(service, field):
            found.setdefault(each, []).append(name)
    return dict(sorted(found.items()))


def _table_of(tables: list[dict[str, Any]], subnet: str, vpc: str) -> dict[str, Any]:
    def associated(table: dict[str, Any], key: str, value: Any) -> bool:
        return any(each.get(key) == value for each in table.get("Associations", []))

    own = [each for each in tables if associated(each, "SubnetId", subnet)]
    main = [each for each in tables if each.get("VpcId") == vpc and associated(each, "Main", True)]
    return next(iter(own + main), {})


def _has_route(table: dict[str, Any]) -> bool:
    return any(
        each.get("DestinationCidrBlock") == "0.0.0.0/0" and each.get("State", "active") == "active"
        for each in table.get("Routes", [])
    )
