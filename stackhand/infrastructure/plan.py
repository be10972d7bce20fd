"""A plan as people read it: by concern, which is the file of `terraform/` that a resource stands in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

ACTIONS: dict[tuple[str, ...], str] = {
    ("create",): "create",
    ("update",): "change",
    ("delete",): "destroy",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "forget",
}
SHOWN = ("create", "change", "replace", "destroy")


class Change(msgspec.Struct, frozen=True):
    """What would happen to one resource.

    Args:
        address: Terraform's name for it.
        kind: its type.
        concern: the file it stands in.
        action: create, change, replace, destroy or forget.
        attributes: which of them would change.
    """

    address: str
    kind: str
    concern: str
    action: str
    attributes: list[str]


class Summary(msgspec.Struct, frozen=True):
    """A whole plan."""

    changes: list[Change]
    outputs: list[str]

    def count(self, action: str, concern: str | None = None) -> int:
        """Return how many resources an action concerns."""
        return sum(each.action == action and concern in {None, each.concern} for each in self.changes)

    @property
    def concerns(self) -> list[str]:
        """The concerns in which anything would happen, the largest first."""
        names = {each.concern for each in self.changes}
        return sorted(names, key=lambda name: (-sum(each.concern == name for each in self.changes), name))

    def words(self) -> list[str]:
        """Return a line for each concern."""
        numbers = {name: [(self.count(action, name), action) for action in SHOWN] for name in self.concerns}
        return [f"{name}: {', '.join(f'{n} to {what}' for n, what in each if n)}" for name, each in numbers.items()]

    def to_dict(self) -> dict[str, Any]:
        """Return it as the `plan` of docs/output.md."""
        found = {name: [each for each in self.changes if each.concern == name] for name in self.concerns}
        return {
            "changed": bool(self.changes or self.outputs),
            **{name: self.count(name) for name in SHOWN},
            "concerns": [
                {"name": name, "resources": [_resource(each) for each in changes]} for name, changes in found.items()
            ],
            "outputs": self.outputs,
        }


def summary(plan: Mapping[str, Any], concerns: Mapping[str, str], kept: Collection[str] = ()) -> Summary:
    """Return what a plan would do.

    Args:
        plan: Terraform's JSON.
        concerns: by a resource's type and name, as `concerns_of` returns them.
        kept: the addresses of what a deploy forgets instead of deleting it.
    """
    changes = [
        Change(
            address=each["address"],
            kind=each["type"],
            concern=concerns.get(f"{each['type']}.{each['name']}", "no longer in the files"),
            action="forget" if each["address"] in kept else ACTIONS[tuple(each["change"]["actions"])],
            attributes=_attributes(each["change"]),
        )
        for each in plan.get("resource_changes", [])
        if each["mode"] == "managed" and tuple(each["change"]["actions"]) in ACTIONS
    ]
    outputs = [name for name, each in plan.get("output_changes", {}).items() if each["actions"] != ["no-op"]]
    return Summary(changes, outputs)


def concerns_of(folder: Path) -> dict[str, str]:
    """Return in which file each resource stands: its type and name, and the file's name in words."""
    return {
        f"{kind}.{name}": path.stem.replace("_", " ")
        for path in sorted(folder.glob("*.tf"))
        for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def numbers(concerns: Mapping[str, int]) -> list[str]:
    """Return in one line how many resources each concern has, the largest first; no line when there are none."""
    found = sorted(concerns.items(), key=lambda each: (-each[1], each[0]))
    return [", ".join(f"{name} {number}" for name, number in found)] if found else []


def rows(found: Summary) -> list[Sequence[str]]:
    """Return a table: a line for each concern, with the number of resources by action."""
    return [(name, *(str(found.count(action, name) or "") for action in SHOWN)) for name in found.concerns]


def _resource(change: Change) -> dict[str, Any]:
    return {"address": change.address, "action": change.action, "attributes": change.attributes}


def _attributes(change: Mapping[str, Any]) -> list[str]:
    """Return which attributes of a resource that is there would change."""
    before, after, unknown = change.get("before"), change.get("after"), change.get("after_unknown") or {}
    if not isinstance(before, dict) or not isinstance(after, dict):
        return []
    return sorted(name for name in after | before if unknown.get(name) or before.get(name) != after.get(name))
