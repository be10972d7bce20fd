"""Whether tasks in a subnet can reach AWS: by a route out of it, or by endpoints in its network."""

from __future__ import annotations

from typing import Any


def ways_out(ec2: Any, subnets: list[str]) -> dict[str, bool]:
    """Return for each subnet whether its network has a way to AWS."""
    networks = {each["SubnetId"]: each["VpcId"] for each in ec2.describe_subnets(SubnetIds=subnets)["Subnets"]}
    vpcs = sorted(set(networks.values()))
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": vpcs}])["RouteTables"]
    ends = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": vpcs}])["VpcEndpoints"]
    with_endpoint = {each["VpcId"] for each in ends if ".ecr." in each.get("ServiceName", "")}
    return {
        subnet: vpc in with_endpoint or _has_route(_table_of(tables, subnet, vpc)) for subnet, vpc in networks.items()
    }


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
