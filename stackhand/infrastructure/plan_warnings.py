"""What to think of before a plan is applied: what goes, who gets alarms and secrets, and what waits for a window.

Which changes of a database wait for its maintenance window: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ModifyInstance.Settings.html
"""

from __future__ import annotations

from collections.abc import Iterator

from stackhand.cli.failure import Failure
from stackhand.infrastructure import secrets
from stackhand.infrastructure.documents import TerraformPlan
from stackhand.infrastructure.snapshots import rds
from stackhand.project.environments import Environment

SERVICE = "aws_ecs_service"
SUBSCRIPTION = "aws_sns_topic_subscription"
WAITING = frozenset(
    {"allocated_storage", "ca_cert_identifier", "engine_version", "instance_class", "iops", "multi_az"}
    | {"parameter_group_name", "storage_throughput", "storage_type"}
)
"""Attributes of a database that RDS changes in the maintenance window, unless it is told to do so at once."""
INTERRUPTING = frozenset({"engine", "engine_version", "node_type", "parameter_group_name"})
"""Attributes of a cache whose change drops its connections."""


def warnings(environment: Environment, planned: TerraformPlan, *, refreshed: bool) -> list[str]:
    """Return a sentence for each.

    Args:
        environment: which.
        planned: the plan; empty when there is none, for nothing changes.
        refreshed: whether it was compared with what is there, so that AWS may be asked as well.
    """
    removed = [*_removed(planned)]
    if environment.emulated:
        return removed
    asked = [*pending(environment, planned), *_secrets(environment, planned)] if refreshed else []
    alarms = _alarms(environment, planned, refreshed=refreshed)
    return [*removed, *alarms, *changes(environment, planned), *asked]


def _removed(planned: TerraformPlan) -> Iterator[str]:
    """Yield a sentence on each service that would go: after a change of its name, another one comes in its place."""
    changed = [each for each in planned.resource_changes if each.type == SERVICE]
    new = [str(each.index) for each in changed if each.change.actions == ["create"]]
    renamed = f"; if it was renamed, {' or '.join(new)} is another service to AWS" if new else ""
    for each in changed:
        if each.change.actions == ["delete"]:
            end = "no new request reaches it, its tasks finish those that they have and stop"
            yield f"{each.index} is no longer in the Compose files: {end}{renamed}"


def no_recipient(environment: Environment) -> str:
    """Return a sentence when alarms reach nobody; nothing when they reach somebody."""
    file = f"environments/{environment.name}.tfvars"
    return (
        "" if environment.variables.get("alarm_email") else f"alarms have no recipient: alarm_email in {file} is empty"
    )


def _alarms(environment: Environment, planned: TerraformPlan, *, refreshed: bool) -> Iterator[str]:
    address = environment.variables.get("alarm_email")
    if lacking := no_recipient(environment):
        yield lacking
        return
    for each in planned.resource_changes:
        if each.type == SUBSCRIPTION and "create" in each.change.actions:
            yield f"AWS will send a mail to {address}: no alarm arrives before its link is opened"
        elif each.type == SUBSCRIPTION and refreshed and (each.change.after or {}).get("pending_confirmation"):
            yield f"no alarm arrives: {address} has not opened the link in AWS's mail"


def _secrets(environment: Environment, planned: TerraformPlan) -> Iterator[str]:
    given = planned.planned_values.known().get(secrets.OUTPUT) or {}
    for variable, name in secrets.missing(environment, given).items():
        how = secrets.put(environment, name)
        yield f"{variable} has no value in {environment.name}, and only you can provide it; a deploy would stop: {how}"


def changes(environment: Environment, planned: TerraformPlan) -> Iterator[str]:
    """Yield a sentence for each database or cache of a plan whose change waits, or interrupts it."""
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
