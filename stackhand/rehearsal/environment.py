"""The environment of a rehearsal: `environments/rehearsal.tfvars`, made up where a project has none.

Where it names a network that exists, the emulator gets one of the same shape, and the file has the emulator's ids in
place of AWS's.
"""

from __future__ import annotations

import ipaddress
import json
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackhand.cli.failure import Failure
from stackhand.project import environments
from stackhand.project.environments import Environment

NAME = "rehearsal"
PATH = f"{environments.FOLDER.name}/{NAME}.tfvars"
"""Of its file, relative to the project."""
STACK, REGION = "stack", "eu-west-1"
"""Of a project that has no environment yet."""
MADE_UP = {
    "environment": NAME,
    "account_id": "000000000000",  # the emulator's
    "architecture": "ARM64" if platform.machine() in {"arm64", "aarch64"} else "X86_64",
    "placeholder_image": "python:3.13-alpine",
    "deletion_protection": False,
    "log_days": 1,
    "alarm_email": "",  # the emulator sends no mail
}
TAKEN = ("nat", "settings", "vpc_id", "subnets")
"""What else an environment has like the one that is rehearsed: without NAT, tasks reach less."""


def prepare(folder: Path, own: Path = environments.FOLDER) -> tuple[Environment, dict[str, Path]]:
    """Return the environment, and its file by the path that it must get in a clone.

    Args:
        folder: where the file is made.
        own: the environments of the project.
    """
    file = folder / PATH
    file.parent.mkdir(parents=True, exist_ok=True)
    if NAME in environments.known(own):
        shutil.copyfile(own / file.name, file)
    else:
        file.write_text(_text(own), encoding="utf-8")
    return environments.load(NAME, file.parent), {PATH: file}


def _text(own: Path) -> str:
    """Return the file's text; the environment that a rehearsal is for is staging, or else the first one."""
    names = environments.known(own)
    chosen = "staging" if "staging" in names else next(iter(names), None)
    model = environments.load(chosen, own).variables if chosen else {}
    written = {"stack": model.get("stack", STACK), "region": model.get("region", REGION), **MADE_UP}
    written |= {name: model[name] for name in TAKEN if model.get(name)}
    return "".join(f"{name} = {_written(value)}\n" for name, value in written.items())


def _written(value: Any) -> str:
    """Return a value as it stands in such a file; a string that was read there has its other escapes still."""
    match value:
        case str():
            return '"' + value.replace('"', r"\"") + '"'
        case dict():
            return "{ " + ", ".join(f'"{key}" = {_written(each)}' for key, each in value.items()) + " }"
    return json.dumps(value)


CIDR = "10.60.0.0/16"
ZONES = "ab"
"""The letters of its zones, in which the subnets of each tier take turns."""
ID = re.compile(r'"((?:vpc|subnet)-[0-9a-f]+)"')


def make_network(ec2: Any, environment: Environment) -> dict[str, str]:
    """Make the network and return the emulator's id by each id that the environment names; none if it names none."""
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


def write_network(made: Mapping[str, str], file: Path) -> Environment:
    """Give the file of an environment the emulator's ids, and return the environment that it is of then."""
    text = ID.sub(lambda found: f'"{made.get(found[1], found[1])}"', file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")
    return environments.load(file.stem, file.parent)


def require_network(ec2: Any, made: Mapping[str, str]) -> None:
    """Go on only when all of the network is still there: nothing existing is ever destroyed.

    Raises:
        Failure: something is gone.
    """
    there = {each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]}
    there |= {each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]}
    if gone := [f"{theirs} ({ours} here)" for theirs, ours in made.items() if ours not in there]:
        raise Failure("./inv destroy has deleted of the network that it was given.", evidence=gone)
