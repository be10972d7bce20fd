"""A plan as people read it: by concern, which is the file of `terraform/` that a resource stands in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.documents import Effect, Resource, TerraformPlan

ACTIONS: dict[tuple[str, ...], str] = {
    ("create",): "create",
    ("update",): "change",
    ("delete",): "destroy",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "forget",
}
SHOWN = ("create", "change", "replace", "destroy")


class PlannedResource(msgspec.Struct, frozen=True):
    """What would happen to one resource, in the `plan` of docs/output.md.

    Args:
        address: Terraform's name for it.
        action: create, change, replace, destroy or forget.
        attributes: which of them would change.
    """

    address: str
    action: str
    attributes: list[str]


class Change(PlannedResource, frozen=True):
    """The same, and the file that the resource stands in."""

    concern: str


class Concern(msgspec.Struct, frozen=True):
    """The resources of one file of `terraform/` that would change."""

    name: str
    resources: list[PlannedResource]


class PlanDocument(msgspec.Struct, frozen=True):
    """The `plan` of docs/output.md: whether anything changes, and how many resources by action."""

    changed: bool
    create: int
    change: int
    replace: int
    destroy: int
    concerns: list[Concern]
    outputs: list[str]

    def counts(self) -> dict[str, int]:
        """Return how many resources each action concerns, where it is any."""
        return {name: number for name in SHOWN if (number := getattr(self, name))}

    def resources(self) -> list[PlannedResource]:
        """Return the resources of all concerns."""
        return [each for concern in self.concerns for each in concern.resources]


class DestroyReport(msgspec.Struct, frozen=True):
    """What a destroyed environment leaves: snapshots of its databases, given secrets, and the key of both.

    Of clusters they are by the service that may start from one.
    """

    snapshots: list[str] = []
    key: str = ""
    secrets: dict[str, str] = {}
    clusters: dict[str, str] = {}


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
        numbers = Counter(each.concern for each in self.changes)
        return sorted(numbers, key=lambda name: (-numbers[name], name))

    def summary(self) -> list[str]:
        """Return a line for each concern."""
        numbers = {name: [(self.count(action, name), action) for action in SHOWN] for name in self.concerns}
        return [f"{name}: {', '.join(f'{n} to {what}' for n, what in each if n)}" for name, each in numbers.items()]

    def document(self) -> PlanDocument:
        """Return it as the `plan` of docs/output.md."""
        resources: dict[str, list[PlannedResource]] = {name: [] for name in self.concerns}
        for each in self.changes:
            resources[each.concern].append(PlannedResource(each.address, each.action, each.attributes))
        return PlanDocument(
            changed=bool(self.changes or self.outputs),
            **{name: self.count(name) for name in SHOWN},
            concerns=[Concern(*each) for each in resources.items()],
            outputs=self.outputs,
        )


def summary(plan: TerraformPlan, concerns: Mapping[str, str], forgotten: Collection[str] = ()) -> Summary:
    """Return what a plan would do.

    Args:
        plan: which.
        concerns: by a resource's type and name, as `concerns_of` returns them.
        forgotten: the addresses of what a deploy forgets instead of deleting it.
    """
    changes = [
        Change(
            address=each.address,
            concern=concerns.get(f"{each.type}.{each.name}", "no longer in the files"),
            action="forget" if each.address in forgotten else ACTIONS[tuple(each.change.actions)],
            attributes=_attributes(each.change),
        )
        for each in plan.resource_changes
        if each.mode == "managed" and tuple(each.change.actions) in ACTIONS
    ]
    outputs = [name for name, each in plan.output_changes.items() if each.actions != ["no-op"]]
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
    ordered = sorted(concerns.items(), key=lambda each: (-each[1], each[0]))
    return [", ".join(f"{name} {number}" for name, number in ordered)] if ordered else []


def rows(summary: Summary) -> list[Sequence[str]]:
    """Return a table: a line for each concern, with the number of resources by action."""
    return [(name, *(str(summary.count(action, name) or "") for action in SHOWN)) for name in summary.concerns]


def _attributes(change: Effect) -> list[str]:
    """Return which attributes of a resource that is there would change."""
    before, after, unknown = change.before, change.after, change.after_unknown or {}
    if not isinstance(before, dict) or not isinstance(after, dict):
        return []
    return sorted(name for name in after | before if unknown.get(name) or before.get(name) != after.get(name))


HOLDS_DATA = {
    "aws_db_instance": "database",
    "aws_rds_cluster": "database",
    "aws_elasticache_replication_group": "cache",
    "aws_elasticache_serverless_cache": "cache",
    "aws_ecr_repository": "images",
    "aws_s3_bucket": "access logs",
    "aws_kms_key": "the encryption key",
    "aws_ssm_parameter": "secret",
}
"""Types whose loss is more than an outage. (A release that a failed one goes back to may still read the secret.)"""


def refuse_loss(name: str, plan: PlanDocument, allowed: Sequence[str] = ()) -> None:
    """Refuse a plan that deletes what holds data.

    Raises:
        Failure: with everything that would be lost.
    """
    lost = [
        f"{HOLDS_DATA[kind]}: {each.address} ({each.action})"
        for each in plan.resources()
        if (kind := each.address.partition(".")[0]) in HOLDS_DATA
        and each.action in {"destroy", "replace"}
        and (kind, each.action) != ("aws_ssm_parameter", "replace")  # together with its database, which is named
        and each.address not in allowed
    ]
    if lost:
        from stackhand.ansible import playbook

        raise Failure(
            f"This would delete data of {name}.",
            evidence=lost,
            next=f"./inv plan -e {name} shows why; to apply it anyway, add -e stackhand_may_lose_data=true to "
            f"{playbook.by_hand('deploy')} -e stackhand_environment={name}",
            code=ExitCode.PREFLIGHT,
        )


def key_that_stays(resources: Sequence[Resource], keys: Iterable[str]) -> str:
    """Return the ARN of the environment's own key where something that outlives it is encrypted with it; else nothing.

    What encrypts that may be given as ARNs, ids or aliases; the resources are the state's.
    """
    own: Mapping[str, Any] = next((each.values for each in resources if each.type == "aws_kms_key"), {})
    aliases = (each.values for each in resources if each.type == "aws_kms_alias")
    names = {own.get("arn"), own.get("key_id"), *(each.get(key) for each in aliases for key in ("name", "arn"))}
    return str(own["arn"]) if own and (names - {None}) & set(keys) else ""
