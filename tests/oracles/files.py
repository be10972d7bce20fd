"""Rules on the files of terraform/ that no state shows: what Terraform leaves to others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

IGNORED = {
    "aws_ecs_service.main": {"task_definition", "load_balancer", "desired_count"},  # a release and autoscaling set them
    "aws_lb_target_group.service": {"name", "port"},  # either would make a new one while the old one is in use
    "aws_db_instance.main": {"snapshot_identifier"},  # or the next plan would delete the database
    **{f"aws_ssm_parameter.{name}": {"key_id", "description", "tier"} for name in ("database", "cache", "other")},
}
"""What a later apply must not set back."""
REPLACED_FIRST = ("aws_db_parameter_group.main", "aws_elasticache_parameter_group.main")
"""In use while a new one is made under another name."""
BLOCK = re.compile(r'^resource "(\w+)" "(\w+)" \{$(.*?)^\}$', re.MULTILINE | re.DOTALL)


def written(folder: Path) -> dict[str, frozenset[str]]:
    """Return which arguments and blocks each resource has in the files, by its address without an index."""
    return {
        f"{kind}.{name}": frozenset(re.findall(r'^  (?:dynamic ")?(\w+)"? *(?:=|\{)', body, re.MULTILINE))
        for path in sorted(folder.glob("*.tf"))
        for kind, name, body in BLOCK.findall(path.read_text(encoding="utf-8"))
    }


def problems(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what a folder's blocks lack."""
    blocks = {
        f"{kind}.{name}": body
        for path in sorted(folder.glob("*.tf"))
        for kind, name, body in BLOCK.findall(path.read_text(encoding="utf-8"))
    }
    for address, names in IGNORED.items():
        there = re.search(r"ignore_changes += \[(.*?)\]\s*(?:#.*)?$", blocks[address], re.MULTILINE | re.DOTALL)
        for name in sorted(names - set(re.findall(r"\w+", there[1] if there else ""))):
            yield address, f"an apply would set {name} back"
    for address in REPLACED_FIRST:
        if not re.search(r"create_before_destroy += true", blocks[address]):
            yield address, "cannot be replaced while a database uses it"
