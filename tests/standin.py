"""The stand-in for Terraform's providers, with the schemas of what our files name and no others.

It lies beside the checkout, where there is one. Each run of Terraform reads the whole schema of a provider, 1,735
types of which we have sixty: a plan takes a third less without the others. It starts as many servers as there are
providers, and looks for a Python with its packages, where the one of its first run is known.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path

from tests.checkout import ROOT

ORIGINAL = ROOT.parent / "shared" / "terraform-offline"
NAMED_IN = ("terraform/**/*.tf", "terraform/**/*.hcl", "tests/**/*.py", "tests/**/*.toml", "tests/**/*.tf")
PROVIDER = r'"hashicorp/(\w+)"'
VPC = "vpc-0123456789abcdef0"
"""An existing network that it knows, with a zone for each last letter of a subnet's id."""
DATA = f"""
DATA["aws_vpc"] = lambda v, r: {{"enable_dns_support": True, "enable_dns_hostnames": True}}
DATA["aws_subnet"] = lambda v, r: {{"vpc_id": "{VPC}", "availability_zone": r + v["id"][-1]}}
"""
LIVE = """
made_up = Emulator.data


def data(self, type_name, values, region):
    ec2 = self.client("ec2", region)
    try:
        if type_name == "aws_vpc":
            ec2.describe_vpcs(VpcIds=[values["id"]])
            words = {"enable_dns_support": "EnableDnsSupport", "enable_dns_hostnames": "EnableDnsHostnames"}
            ask = lambda word: ec2.describe_vpc_attribute(VpcId=values["id"], Attribute="e" + word[1:])[word]["Value"]
            return {name: ask(word) for name, word in words.items()}
        if type_name == "aws_subnet":
            subnet = ec2.describe_subnets(SubnetIds=[values["id"]])["Subnets"][0]
            return {"vpc_id": subnet["VpcId"], "availability_zone": subnet["AvailabilityZone"],
                    "available_ip_address_count": subnet["AvailableIpAddressCount"]}
    except ClientError as error:
        raise Trouble(str(error)) from None
    return made_up(self, type_name, values, region)


Emulator.data = data


@kind("aws_scheduler_schedule_group")
class ScheduleGroup:
    def create(x):
        x.keep({}, id=x.v["name"], arn=x.do("scheduler", "create_schedule_group")["ScheduleGroupArn"])

    def read(x):
        return x.aws("scheduler").get_schedule_group(Name=x.id)

    def delete(x):
        x.aws("scheduler").delete_schedule_group(Name=x.id)


@kind("aws_scheduler_schedule", forces="group_name")
class Schedule:
    def arguments(x):
        target, window = x.v["target"][0], x.v["flexible_time_window"][0]
        task, retry = target["ecs_parameters"][0], target["retry_policy"][0]
        network = task["network_configuration"][0]
        placed = {"Subnets": [*network["subnets"]], "SecurityGroups": [*network["security_groups"]]}
        parameters = {"TaskDefinitionArn": task["task_definition_arn"], "LaunchType": task["launch_type"],
                      "Group": task["group"], "NetworkConfiguration": {"awsvpcConfiguration": placed}}
        again = {"MaximumRetryAttempts": int(retry["maximum_retry_attempts"])}
        return {"Name": x.v["name"], "GroupName": x.v["group_name"], "ScheduleExpression": x.v["schedule_expression"],
                "State": x.v["state"], "FlexibleTimeWindow": {"Mode": window["mode"]},
                "Target": {"Arn": target["arn"], "RoleArn": target["role_arn"], "EcsParameters": parameters,
                           "RetryPolicy": again}}

    def create(x):
        arn = x.aws("scheduler").create_schedule(**Schedule.arguments(x))["ScheduleArn"]
        x.keep({}, id=x.v["group_name"] + "/" + x.v["name"], arn=arn)

    def update(x):
        x.aws("scheduler").update_schedule(**Schedule.arguments(x))

    def read(x):
        group, _, name = x.id.partition("/")
        return x.aws("scheduler").get_schedule(Name=name, GroupName=group)

    def delete(x):
        group, _, name = x.id.partition("/")
        x.aws("scheduler").delete_schedule(Name=name, GroupName=group)
"""
MORE = {"fake.py": DATA, "live.py": LIVE}
"""What it lacks of our files, at the end of its own: an existing network, also in the emulator, and schedules there."""
PROGRAM = """#!/bin/sh
set -eu
case $1 in version | output) exec terraform "$@" ;; esac # they need no provider, which takes a second to start
here=$(dirname -- "$0")
made=${TFOFFLINE_CACHE:-${HOME:-}/.cache/tfoffline}/venv
[ -e "$made/ready-live" ] || exec "$here/terraform-offline" "$@" # which makes it
exec "$made/bin/python" "$here/terraform-offline" "$@"
"""


@functools.cache
def program() -> Path | None:
    """Return the program to run in Terraform's place, made on first use; None where there is no stand-in."""
    if not (ORIGINAL / "terraform-offline").exists():
        return None
    text = "\n".join(path.read_text(encoding="utf-8") for path in _files())
    named = sorted({*re.findall(r"\baws_\w+", text), *re.findall(PROVIDER, text)})
    sources = "".join(f"{each.name} {each.stat().st_mtime_ns}" for each in sorted(ORIGINAL.glob("**/*.*")))
    digest = hashlib.sha256(f"{named}{sources}{PROGRAM}{MORE}".encode()).hexdigest()[:16]
    place = ROOT / ".venv" / "stand-in" / digest
    if not place.exists():
        _make(place, set(named))
    return place / "terraform"


def _files() -> list[Path]:
    return [path for pattern in NAMED_IN for path in ROOT.glob(pattern)]


def _make(place: Path, named: set[str]) -> None:
    """Make the copy, whole or not at all: several workers may do so at once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ORIGINAL, copy, copy_function=shutil.copyfile)
        schema = copy / "schema" / "aws.json.gz"
        content = json.loads(gzip.decompress(schema.read_bytes()))
        for kind in ("resources", "data", "ephemeral"):
            content[kind] = {name: each for name, each in content[kind].items() if name in named}
        schema.write_bytes(gzip.compress(json.dumps(content).encode()))
        for other in {path for path in schema.parent.iterdir() if path.name.partition(".")[0] not in named}:
            other.unlink()
        for name, text in MORE.items():
            with (copy / name).open("a", encoding="utf-8") as file:
                file.write(text)
        (copy / "terraform").write_text(PROGRAM, encoding="utf-8")
        for each in ("terraform", "terraform-offline"):
            (copy / each).chmod(0o755)
        if not place.exists():
            copy.rename(place)
