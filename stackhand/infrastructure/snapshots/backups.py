"""`./inv cloud.snapshots` and `./inv cloud.snapshot`: what there is to go back to, and one more of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from stackhand.aws.errors import as_failure
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.infrastructure.services import compose
from stackhand.infrastructure.snapshots import rds, restore
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.system.roots import PROJECT

HEADINGS = ("snapshot", "created", "GiB", "engine", "kind", "status", "key")
STYLES = {"available": "green", "enabled": "green", "none": "green"}


def show(*, environment: str, json: bool) -> None:
    """Show the snapshots of an environment's databases, also of one that was destroyed."""
    chosen = environments.load(environment)
    account.check(chosen)
    snapshots = rds.snapshots(chosen)
    if json:
        console.document({"environment": environment, "snapshots": [asdict(each) for each in snapshots]})
    elif not snapshots:
        console.write(f"{environment} has no snapshots in {chosen.region}.")
    else:
        rows = [
            (each.name, each.created, str(each.size), each.engine, each.kind, each.status, each.key_state)
            for each in snapshots
        ]
        console.table(rows, HEADINGS, STYLES)


def take(*, environment: str, database: str, at: str) -> None:
    """Take a snapshot of a database, as it is or as it was.

    Args:
        environment: whose.
        database: the service's name; needed where there are several.
        at: a time with its zone; empty for now.
    """
    chosen = environments.load(environment)
    account.check(chosen)
    moment = _time(at) if at else None
    identifier = chosen.resource(_service(chosen, database))
    there = _require_database(chosen, identifier)
    name = _take_at(chosen, there, moment) if moment else _take(chosen, identifier)
    console.write(name)
    console.notify(f"./inv deploy -e {environment} --from-snapshot {name} creates a database from it")


def _service(environment: Environment, wanted: str) -> str:
    databases = restore.databases(compose.stack_of(PROJECT), environment)
    if wanted in databases or (not wanted and len(databases) == 1):
        return wanted or databases[0]
    raise Failure(
        f"There is no database {wanted!r}." if wanted else f"{environment.name} has several databases, or none.",
        evidence=[f"services with managed: rds: {', '.join(databases) or 'none'}"],
        next="name one of them: --database NAME",
        code=ExitCode.USAGE,
    )


def _require_database(environment: Environment, identifier: str) -> rds.Database:
    """Return a database that is there."""
    if (database := rds.find_database(environment, identifier)) is not None:
        return database
    raise Failure(
        f"{environment.name} has no database {identifier}.",
        evidence=["a destroyed environment still has its snapshots"],
        next=f"./inv cloud.snapshots -e {environment.name}",
        code=ExitCode.USAGE,
    )


def _take(environment: Environment, identifier: str) -> str:
    """Return the name of a snapshot of a database, once it is complete."""
    name = rds.take(environment, identifier)
    console.notify(f"{name}: RDS is taking it (minutes)")
    rds.wait(environment, name)
    return name


def _time(text: str) -> datetime:
    """Return a time; without a zone nobody knows which is meant."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Failure(
            f"--at {text} is not a time with a zone.",
            evidence=[f"the time is {datetime.now(UTC).isoformat(timespec='seconds')}"],
            next="for example: --at 2026-01-31T02:10:00Z, or +01:00 instead of Z",
            code=ExitCode.USAGE,
        )
    return moment.astimezone(UTC)


def _take_at(environment: Environment, source: rds.Database, at: datetime) -> str:
    """Return the name of a snapshot of a database as it was; the database itself is not touched.

    Raises:
        Failure: the time is not covered by its backups, or RDS refuses.
    """
    database, moment = str(source["DBInstanceIdentifier"]), at.isoformat(timespec="seconds")
    latest = source.get("LatestRestorableTime")
    if latest and at > latest:
        raise Failure(
            f"{database} can only be restored up to {latest.astimezone(UTC).isoformat(timespec='seconds')}.",
            evidence=["RDS backups lag about five minutes behind"],
            next="use an earlier time, or wait; for the current data, omit --at",
            code=ExitCode.USAGE,
        )
    copy = f"{database}-at-{at:%y%m%d%H%M%S}"  # a name of RDS has 63 letters
    console.notify(f"{copy}: a copy of {database} as it was at {moment} (takes as long as a new one)")
    try:
        with as_failure(f"{database} cannot be copied as it was at {moment}"):
            client = environment.client("rds")
            args = _arguments(source, copy, at)
            rds.write(lambda: client.restore_db_instance_to_point_in_time(**args), done="DBInstanceAlreadyExists")
        with as_failure(f"The copy {copy} is not ready", ExitCode.FAILED):
            waiter = client.get_waiter("db_instance_available")
            waiter.wait(DBInstanceIdentifier=copy, WaiterConfig={"Delay": 30, "MaxAttempts": 240})
        name = _take(environment, copy)
    except BaseException:
        console.notify(
            "the copy may still exist; to remove it: aws rds delete-db-instance "
            f"--region {environment.region} --skip-final-snapshot --db-instance-identifier {copy}"
        )
        raise
    with as_failure(f"The snapshot {name} exists, but the copy {copy} could not be removed", ExitCode.FAILED):
        gone = {"DBInstanceIdentifier": copy, "SkipFinalSnapshot": True, "DeleteAutomatedBackups": True}
        rds.write(lambda: client.delete_db_instance(**gone), done="InvalidDBInstanceState")
    return name


def _arguments(source: rds.Database, copy: str, at: datetime) -> dict[str, Any]:
    """Return the request for a copy that is reached by those who reach its source, and is one machine only."""
    groups = {
        "DBSubnetGroupName": source.get("DBSubnetGroup", {}).get("DBSubnetGroupName"),
        "DBParameterGroupName": next((each["DBParameterGroupName"] for each in source["DBParameterGroups"]), None),
        "VpcSecurityGroupIds": [each["VpcSecurityGroupId"] for each in source.get("VpcSecurityGroups", [])],
    }
    return {
        "SourceDBInstanceIdentifier": source["DBInstanceIdentifier"],
        "TargetDBInstanceIdentifier": copy,
        "RestoreTime": at,
        "DBInstanceClass": source["DBInstanceClass"],
        "PubliclyAccessible": False,
        "MultiAZ": False,
        "CopyTagsToSnapshot": True,
        "Tags": [each for each in source.get("TagList", []) if not each["Key"].startswith("aws:")],
        **{key: value for key, value in groups.items() if value},
    }
