"""What Terraform has made, as its state tells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec


class Resource(msgspec.Struct, frozen=True):
    """One thing that Terraform has made.

    Args:
        address: Terraform's name for it: `aws_subnet.data["eu-west-1a"]`.
        type: such as aws_subnet.
        values: its attributes.
        dependencies: what was made before it, by address without an index.
    """

    address: str
    type: str
    values: dict[str, Any]
    dependencies: frozenset[str]

    @property
    def block(self) -> str:
        """The block of terraform/ that it is of: its address without an index."""
        return self.address.partition("[")[0]


class State(msgspec.Struct, frozen=True):
    """A whole environment.

    Args:
        resources: what Terraform has made.
        outputs: what a deploy is told.
        existing: the subnets of a network that it was given, which it has only read.
    """

    resources: list[Resource]
    outputs: dict[str, Any]
    existing: list[Resource]

    def of(self, *kinds: str) -> list[Resource]:
        """Return what is of some types."""
        return [each for each in self.resources if each.type in kinds]

    def tier(self, name: str) -> dict[str, Resource]:
        """Return the subnets of a tier by their ids, those that were made or those that were given."""
        made = [each for each in self.of("aws_subnet") if each.block == f"aws_subnet.{name}"]
        given = [each for each in self.existing if each.address.startswith(f'aws_subnet.existing["{name} ')]
        return {each.values["id"]: each for each in made or given}


def read(path: Path) -> State:
    """Return what a state file of Terraform's holds."""
    document = json.loads(path.read_text(encoding="utf-8"))
    entries = document["resources"]
    resources = [each for entry in entries if entry["mode"] == "managed" for each in _instances(entry)]
    read_only = [entry for entry in entries if entry["mode"] == "data" and entry["type"] == "aws_subnet"]
    outputs = {name: each["value"] for name, each in document["outputs"].items()}
    return State(resources, outputs, [each for entry in read_only for each in _instances(entry)])


def _instances(entry: Mapping[str, Any]) -> Iterator[Resource]:
    for each in entry["instances"]:
        yield Resource(_address(entry, each), entry["type"], each["attributes"], _before(each))


def _address(entry: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    index = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
    return f"{entry['type']}.{entry['name']}{index}"


def _before(instance: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(instance.get("dependencies", ()))
