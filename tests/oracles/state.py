"""What Terraform has made, as its state tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    """A whole environment."""

    resources: list[Resource]
    outputs: dict[str, Any]

    def of(self, *kinds: str) -> list[Resource]:
        """Return what is of some types."""
        return [each for each in self.resources if each.type in kinds]


def read(path: Path) -> State:
    """Return what a state file of Terraform's holds."""
    document = json.loads(path.read_text(encoding="utf-8"))
    resources = [
        Resource(_address(entry, instance), entry["type"], instance["attributes"], _before(instance))
        for entry in document["resources"]
        if entry["mode"] == "managed"
        for instance in entry["instances"]
    ]
    return State(resources, {name: each["value"] for name, each in document["outputs"].items()})


def _address(entry: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    index = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
    return f"{entry['type']}.{entry['name']}{index}"


def _before(instance: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(instance.get("dependencies", ()))
