"""A snapshot of a database as it was at a time: RDS makes a copy of that time, which is snapshotted and removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from stackhand.aws.errors import as_failure
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import rds
from stackhand.project.environments import Environment


def snapshot(environment: Environment, source: dict[str, Any], at: datetime, tell: Callable[[str], None]) -> str:
    """Return the name of a snapshot of a database as it was; the database itself is not touched.

    Args:
        environment: whose.
        source: the database, as RDS describes it.
        at: when.
        tell: told what is waited for.

    Raises:
        Failure: the time is not covered by its backups, or RDS refuses.
    """
    database = str(source["DBInstanceIdentifier"])
    latest = source.get("LatestRestorableTime")
    if latest and at > latest:
        raise Failure(
            f"{database} can be restored up to {latest.astimezone(UTC).isoformat(timespec='seconds')} only.",
            evidence=["RDS keeps up with what is written, some five minutes behind"],
            next="name an earlier time, or wait; for what is there now: without --at",
            code=ExitCode.USAGE,
        )
    copy = f"{database}-at-{at:%y%m%d%H%M%S}"  # a name of RDS has 63 letters
    tell(f"{copy}: a copy of {database} as it was at {at.isoformat(timespec='seconds')}; about as long as a new one")
    try:
        with as_failure(f"{database} cannot be copied as it was at {at.isoformat(timespec='seconds')}"):
            client = environment.client("rds")
            words = _arguments(source, copy, at)
            rds.write(lambda: client.restore_db_instance_to_point_in_time(**words), done="DBInstanceAlreadyExists")
        with as_failure(f"The copy {copy} is not ready", ExitCode.FAILED):
            waiter = client.get_waiter("db_instance_available")
            waiter.wait(DBInstanceIdentifier=copy, WaiterConfig={"Delay": 30, "MaxAttempts": 240})
        name = rds.take(environment, copy)
        tell(f"{name}: RDS takes it; minutes")
        rds.wait(environment, name)
    except BaseException:
        remove = f"aws rds delete-db-instance --region {environment.region} "
        remove += f"--skip-final-snapshot --db-instance-identifier {copy}"
        tell(f"the copy may be there still; to remove it: {remove}")
        raise
    with as_failure(f"The snapshot {name} is there, and the copy {copy} could not be removed", ExitCode.FAILED):
        gone = {"DBInstanceIdentifier": copy, "SkipFinalSnapshot": True, "DeleteAutomatedBackups": True}
        rds.write(lambda: client.delete_db_instance(**gone), done="InvalidDBInstanceState")
    return name


def _arguments(source: dict[str, Any], copy: str, at: datetime) -> dict[str, Any]:
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
