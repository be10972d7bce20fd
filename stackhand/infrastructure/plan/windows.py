"""When a change of a database or cache happens: with the deploy, or in its next maintenance window.

Which changes wait: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ModifyInstance.Settings.html
"""

from __future__ import annotations

from collections.abc import Iterator

from stackhand.cli.failure import Failure
from stackhand.infrastructure.documents import TerraformPlan
from stackhand.infrastructure.snapshots import rds
from stackhand.project.environments import Environment

WAITING = frozenset(
    {"allocated_storage", "ca_cert_identifier", "engine_version", "instance_class", "iops", "multi_az"}
    | {"parameter_group_name", "storage_throughput", "storage_type"}
)
"""Attributes of a database that RDS changes in the maintenance window, unless it is told to do so at once."""
INTERRUPTING = frozenset({"engine", "engine_version", "node_type", "parameter_group_name"})
"""Attributes of a cache whose change drops its connections."""


def changes(environment: Environment, planned: TerraformPlan) -> Iterator[str]:
    """Yield a sentence for each database or cache of a plan whose change waits, or interrupts it.

    Args:
        environment: which.
        planned: the plan.
    """
    for each in planned.resource_changes:
        if each.change.actions != ["update"]:
            continue
        before, after = each.change.before, each.change.after
        changed = {name for name in after if after[name] != before.get(name)}
        name, window = each.address if each.index is None else each.index, after.get("maintenance_window")
        if each.type == "aws_db_instance" and (waiting := ", ".join(sorted(changed & WAITING))):
            yield (
                f"{name}: {waiting} changes with the deploy, and restarts it (apply_immediately)"
                if after.get("apply_immediately")
                else f"{name}: {waiting} changes in its maintenance window ({window} UTC), not with the deploy; "
                f"at once, and with a restart, with apply_immediately = true in environments/{environment.name}.tfvars"
            )
        if each.type == "aws_elasticache_replication_group" and (now := ", ".join(sorted(changed & INTERRUPTING))):
            yield f"{name}: {now} changes with the deploy, and its connections drop"


def pending(environment: Environment, planned: TerraformPlan) -> Iterator[str]:
    """Yield a sentence for each database of a plan that still waits for its window with an earlier change."""
    for each in (each for each in planned.planned_values.root_module.resources if each.type == "aws_db_instance"):
        try:
            found = rds.find_database(environment, each.values["identifier"])
        except Failure:  # who may plan need not be allowed to ask
            return
        if found and (waiting := ", ".join(sorted(found.get("PendingModifiedValues") or {}))):
            window = found.get("PreferredMaintenanceWindow")
            yield f"{each.index}: {waiting} of an earlier deploy waits for its maintenance window ({window} UTC)"
