"""The network that an environment names instead of making one: the emulator gets one of the same shape.

Its ids are the emulator's, so the environment's file of a rehearsal has those in place of AWS's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackhand.cli.failure import Failure
from stackhand.project import environments
from stackhand.project.environments import Environment

CIDR = "10.60.0.0/16"
ZONES = "ab"
"""The letters of its zones, in which the subnets of each tier take turns."""
ID = re.compile(r'"((?:vpc|subnet)-[0-9a-f]+)"')


def make(ec2: Any, environment: Environment) -> dict[str, str]:
    """Make the network and return the emulator's id by each id that the environment names; none if it names none.

    Args:
        ec2: a client of the emulator.
        environment: that is rehearsed.
    """
    named = environment.variables.get("vpc_id")
    if not named:
        return {}
    vpc = ec2.create_vpc(CidrBlock=CIDR)["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": True})
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    made = {named: vpc}
    blocks = ipaddress.ip_network(CIDR).subnets(new_prefix=24)
    for subnets in (environment.variables.get("subnets") or {}).values():
        for number, subnet in enumerate(subnets):
            zone = f"{environment.region}{ZONES[number % len(ZONES)]}"
            answer = ec2.create_subnet(VpcId=vpc, CidrBlock=str(next(blocks)), AvailabilityZone=zone)
            made[subnet] = answer["Subnet"]["SubnetId"]
    return made


def write(made: Mapping[str, str], file: Path) -> Environment:
    """Give the file of an environment the emulator's ids, and return the environment that it is of then.

    Args:
        made: what `make` has made.
        file: `NAME.tfvars`.
    """
    text = ID.sub(lambda found: f'"{made.get(found[1], found[1])}"', file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")
    return environments.load(file.stem, file.parent)


def require(ec2: Any, made: Mapping[str, str]) -> None:
    """Go on only when all of the network is still there: nothing existing is ever destroyed.

    Raises:
        Failure: something is gone.
    """
    there = {each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]}
    there |= {each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]}
    if gone := [f"{theirs} ({ours} here)" for theirs, ours in made.items() if ours not in there]:
        raise Failure("./inv destroy has deleted of the network that it was given.", evidence=gone)
