"""Rules of AWS on networks that no schema has, and the chain of connections that this stack needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from typing import Any

from tests.oracles.state import State

Found = Iterator[tuple[str, str]]
DESCRIPTION = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
"""Of a security group and its rules: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpRange.html"""
MOST_VALUES, LONGEST_PATH = 5, 128
"""Of a rule of a load balancer: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html"""
POLICY = re.compile(
    r"ELBSecurityPolicy-(TLS13-1-[0-3](-(Res|Ext[12]))?(-FIPS)?(-PQ)?|TLS-1-[12](-Ext)?|FS(-1-[12](-Res)?)?)(-\d{4}-\d{2})"
)
DESYNC = {"monitor", "defensive", "strictest"}
SMALLEST_OF_A_BALANCER = 27
SERVICES = ("ecr.api", "ecr.dkr", "logs", "ssm", "kms")
"""What a task on Fargate reaches to start: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/vpc-endpoints.html"""


def subnets_fit_into_the_network(state: State) -> Found:
    if not state.of("aws_vpc"):  # an existing one, whose subnets are somebody else's
        return
    whole = ip_network(state.of("aws_vpc")[0].values["cidr_block"])
    before: list[tuple[IPv4Network, str]] = []
    for each in state.of("aws_subnet"):
        block = ip_network(each.values["cidr_block"])
        if not block.subnet_of(whole):
            yield each.address, f"{block} is not within {whole}"
        if not 16 <= block.prefixlen <= 28:
            yield each.address, f"AWS has no subnet of a /{block.prefixlen}"
        for other, name in before:
            if block.overlaps(other):
                yield each.address, f"{block} overlaps {other} of {name}"
        before.append((block, each.address))


def each_tier_has_its_way_out(state: State) -> Found:
    """Public: through the internet gateway; private: through NAT or endpoints; data: none."""
    tables = {
        each.values["subnet_id"]: each.values["route_table_id"] for each in state.of("aws_route_table_association")
    }
    routes = {each.values["route_table_id"]: each for each in state.of("aws_route")}
    gateways = {each.values["id"]: each for each in state.of("aws_nat_gateway")}
    public = state.tier("public")
    for each in state.of("aws_subnet"):
        route = routes.get(tables.get(each.values["id"], ""))
        tier = each.block.rpartition(".")[2]
        if each.values["id"] not in tables:
            yield each.address, "is associated with no route table, and gets the network's main one"
        elif tier == "public" and not (route and route.values["gateway_id"]):
            yield each.address, "the internet does not reach it"
        elif tier == "private" and gateways and not (route and route.values["nat_gateway_id"] in gateways):
            yield each.address, "its tasks do not reach the internet"
        elif tier == "data" and route:
            yield each.address, "has a route out"
        if route and route.values["destination_cidr_block"] != "0.0.0.0/0":
            yield route.address, "is not the default route"
        if each.values["map_public_ip_on_launch"]:
            yield each.address, "gives out public addresses"
    for each in gateways.values():
        if each.values["subnet_id"] not in public:
            yield each.address, "a NAT gateway has to be in a public subnet"


def endpoints_replace_nat(state: State) -> Found:
    if not state.of("aws_vpc"):  # an existing one has its own way to AWS
        return
    gateway = next(each for each in state.of("aws_vpc_endpoint") if each.values["vpc_endpoint_type"] != "Interface")
    tables = {each.values["id"] for each in state.of("aws_route_table") if each.block.endswith(".private")}
    if set(gateway.values["route_table_ids"]) != tables:
        yield gateway.address, "S3 is not reached from each private subnet"
    if state.of("aws_nat_gateway"):
        return
    interfaces = [each for each in state.of("aws_vpc_endpoint") if each.values["vpc_endpoint_type"] == "Interface"]
    there = {each.values["service_name"] for each in interfaces}
    exec_ = any(each.values["enable_execute_command"] for each in state.of("aws_ecs_service"))
    region = state.outputs["release"]["region"]
    for name in (*SERVICES, *(["ssmmessages"] if exec_ else [])):
        if f"com.amazonaws.{region}.{name}" not in there:
            yield "aws_vpc_endpoint.interface", f"tasks do not reach {name}"
    for each in interfaces:
        if not each.values["private_dns_enabled"]:
            yield each.address, "its name leads to the internet without private DNS"
        if not each.values["security_group_ids"]:
            yield each.address, "has the default security group, which is closed"


def connections_are_open_on_both_sides(state: State) -> Found:
    """What leaves a group for another one enters that one, at the same ports; and the other way round."""
    sides = {
        "aws_vpc_security_group_egress_rule": ("aws_vpc_security_group_ingress_rule", "leaves, and does not enter"),
        "aws_vpc_security_group_ingress_rule": ("aws_vpc_security_group_egress_rule", "may enter, and does not leave"),
    }
    for kind, (other, problem) in sides.items():
        there = {_flow(each.values, swapped=True) for each in state.of(other)}
        for each in state.of(kind):
            values = each.values
            if values["referenced_security_group_id"] and _flow(values) not in there:
                yield each.address, problem
            if values["ip_protocol"] not in {"tcp", "udp", "icmp", "icmpv6", "-1"}:
                yield each.address, f"{values['ip_protocol']} is no protocol"
            if not 0 <= values["from_port"] <= values["to_port"] <= 65535:
                yield each.address, f"{values['from_port']} to {values['to_port']} are no ports"
            if not DESCRIPTION.fullmatch(values["description"] or ""):
                yield each.address, "its description has letters that EC2 refuses"
    for each in state.of("aws_security_group"):
        if not DESCRIPTION.fullmatch(each.values["description"]) or each.values["name"].startswith("sg-"):
            yield each.address, "its name or description has letters that EC2 refuses"


def _flow(values: dict[str, Any], *, swapped: bool = False) -> tuple[Any, ...]:
    ends = values["security_group_id"], values["referenced_security_group_id"]
    return (*(reversed(ends) if swapped else ends), values["ip_protocol"], values["from_port"], values["to_port"])


def data_is_reached_at_its_port(state: State) -> Found:
    """Databases and caches listen at one port, and only that one is open."""
    ports = {each.values["vpc_security_group_ids"][0]: 5432 for each in state.of("aws_db_instance")}
    ports |= {
        each.values["security_group_ids"][0]: each.values["port"]
        for each in state.of("aws_elasticache_replication_group")
    }
    for each in state.of("aws_vpc_security_group_ingress_rule"):
        port = ports.get(each.values["security_group_id"])
        if port and {each.values["from_port"], each.values["to_port"]} != {port}:
            yield each.address, f"what it leads to listens at {port}"


def flows_are_gathered(state: State) -> Found:
    for each in state.of("aws_flow_log"):
        if each.values["max_aggregation_interval"] not in {60, 600}:
            yield each.address, "the interval is 60 or 600 s"


def the_front_door_is_reached(state: State) -> Found:
    balancer = state.of("aws_lb")[0]
    listeners = {each.values["port"] for each in state.of("aws_lb_listener")}
    open_ = {
        each.values["from_port"]
        for each in state.of("aws_vpc_security_group_ingress_rule")
        if each.values["cidr_ipv4"] == "0.0.0.0/0"
        and each.values["security_group_id"] in balancer.values["security_groups"]
    }
    for port in listeners ^ open_:
        yield balancer.address, f"port {port} listens and is closed, or is open and nothing listens"
    if balancer.values["desync_mitigation_mode"] not in DESYNC:
        yield balancer.address, f"{balancer.values['desync_mitigation_mode']} is none of {', '.join(sorted(DESYNC))}"
    public = state.tier("public")
    if not set(balancer.values["subnets"]) <= public.keys() or len(balancer.values["subnets"]) < 2:
        yield balancer.address, "needs public subnets in two zones"
    for each in (each for each in state.of("aws_subnet") if each.values["id"] in public):
        if ip_network(each.values["cidr_block"]).prefixlen > SMALLEST_OF_A_BALANCER:
            yield each.address, "a load balancer needs a /27 at least"
    if not re.fullmatch(r"(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?", balancer.values["name"]):
        yield balancer.address, f"{balancer.values['name']} is no name of a load balancer"


def listeners_answer(state: State) -> Found:
    groups = {each.values["arn"] for each in state.of("aws_lb_target_group")}
    rules = state.of("aws_lb_listener_rule")
    priorities = [each.values["priority"] for each in rules]
    secure = [each.values["arn"] for each in state.of("aws_lb_listener") if each.values["protocol"] == "HTTPS"]
    for each in rules:
        number = each.values["priority"]
        if not 1 <= number <= 50000 or priorities.count(number) > 1:
            yield each.address, f"the priority {number} is not 1 to 50000, or another rule has it"
        if secure and each.values["listener_arn"] not in secure:
            yield each.address, "is in clear, where there is a certificate"
        if {action["target_group_arn"] for action in each.values["action"]} - groups:
            yield each.address, "forwards to no target group of ours"
        kinds = ("path_pattern", "host_header")
        parts = [part for condition in each.values["condition"] for kind in kinds for part in condition[kind] or ()]
        values = [value for part in parts for value in part["values"]]
        if not values or len(values) > MOST_VALUES or any(len(value) > LONGEST_PATH for value in values):
            yield each.address, "has more than five values, or one of more than 128 letters"
    for each in state.of("aws_lb_listener"):
        if not POLICY.fullmatch(each.values["ssl_policy"] or "") and each.values["protocol"] == "HTTPS":
            yield each.address, f"{each.values['ssl_policy']} is no policy of a load balancer"
        if (each.values["protocol"] == "HTTPS") != bool(each.values["certificate_arn"]):
            yield each.address, "HTTPS needs a certificate, and nothing else has one"
        kinds = [action["type"] for action in each.values["default_action"]]
        if len(kinds) != 1 or (secure and each.values["protocol"] == "HTTP" and kinds != ["redirect"]):
            yield each.address, "needs one default action, and in clear a redirect"


RULES = (
    subnets_fit_into_the_network,
    each_tier_has_its_way_out,
    endpoints_replace_nat,
    connections_are_open_on_both_sides,
    data_is_reached_at_its_port,
    flows_are_gathered,
    the_front_door_is_reached,
    listeners_answer,
)
