"""The snapshots of an environment's databases, as RDS lists them, also after the environment was destroyed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stackhand.aws.errors import as_failure, code_of, expired, transient
from stackhand.aws.waiting import Retry
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment

Database = dict[str, Any]  # what DescribeDBInstances says of one
RETRY = Retry(120.0)
STAMP = "%Y%m%d-%H%M%S"
RESTORED = "RestoredFrom"
"""The tag that terraform/database.tf gives a database that starts from a snapshot."""
READABLE = frozenset({"none", "enabled", "unknown"})
"""States of a key with which a snapshot can be restored, as far as we know."""


@dataclass(frozen=True)
class DatabaseSnapshot:
    """A snapshot of a database.

    Args:
        name: its identifier.
        database: the identifier of the database it was taken of.
        created: when, in UTC; empty while it is being taken.
        user: the role that owns it: `POSTGRES_USER` of the database.
        size: of the database's storage, in GiB.
        engine: and its version: postgres 16.4.
        kind: manual, which stays until somebody deletes it, or automated, which goes after `database_backup_days`.
        status: available, or what RDS does with it.
        key: the ARN of the key that encrypts it.
        key_state: enabled, none, unknown where we may not ask, or why it cannot be read.
    """

    name: str
    database: str
    created: str
    user: str
    size: int
    engine: str
    kind: str
    status: str
    key: str
    key_state: str


def snapshots(environment: Environment) -> list[DatabaseSnapshot]:
    """Return the snapshots of an environment's databases, the newest first."""
    prefix = f"{environment.prefix}-"
    with as_failure(f"The snapshots of {environment.name} cannot be listed"):
        pages = environment.client("rds").get_paginator("describe_db_snapshots").paginate()
        entries = [each for page in pages for each in page["DBSnapshots"]]
    states: dict[str, str] = {}
    mine = [each for each in entries if each["DBInstanceIdentifier"].startswith(prefix) and _ours(environment, each)]
    with as_failure(f"The keys of the snapshots of {environment.name} cannot be looked up"):
        snapshots = [_snapshot(environment, each, states) for each in mine]
    return sorted(snapshots, key=lambda each: each.created, reverse=True)


def find(environment: Environment, name: str) -> DatabaseSnapshot:
    """Return a snapshot that can be restored, by its name.

    Raises:
        Failure: there is none, it is not complete, or its key is gone.
    """
    with as_failure(f"The snapshot {name} cannot be looked up"):
        try:
            entries = environment.client("rds").describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
        except Exception as error:
            if code_of(error) not in {"DBSnapshotNotFound", "DBSnapshotNotFoundFault"}:
                raise
            raise _missing(environment, name) from error
    if not entries:
        raise _missing(environment, name)
    snapshot = _snapshot(environment, entries[0], {})
    if snapshot.status != "available" or snapshot.key_state not in READABLE:
        raise _unusable(environment, snapshot)
    return snapshot


def find_database(environment: Environment, database: str) -> Database | None:
    """Return what RDS says of a database; None when there is none of that identifier."""
    with as_failure(f"The database {database} cannot be looked up"):
        try:
            answer = environment.client("rds").describe_db_instances(DBInstanceIdentifier=database)
        except Exception as error:
            if code_of(error) in {"DBInstanceNotFound", "DBInstanceNotFoundFault"}:
                return None
            raise
    return next((dict(each) for each in answer["DBInstances"]), None)


def restored_from(database: Database) -> str:
    """Return the snapshot that a database started from; empty when it started empty."""
    return next((each["Value"] for each in database.get("TagList") or [] if each["Key"] == RESTORED), "")


def take(environment: Environment, database: str) -> str:
    """Begin a snapshot of a database, and return its name.

    Raises:
        Failure: RDS refuses.
    """
    name = f"{database}-{datetime.now(UTC):{STAMP}}"
    with as_failure(f"No snapshot of {database} can be taken"):
        client = environment.client("rds")
        ids = {"DBInstanceIdentifier": database, "DBSnapshotIdentifier": name}
        write(lambda: client.create_db_snapshot(**ids), done="DBSnapshotAlreadyExists")
    return name


def write(call: Callable[[], object], *, done: str, retry: Retry = RETRY) -> None:
    """Call RDS until it answers.

    Args:
        call: a write.
        done: the code of RDS's error when an earlier call, whose answer was lost, has done it already.
        retry: how long to go on while RDS is busy.
    """
    unanswered = False

    def attempt() -> None:
        nonlocal unanswered
        try:
            call()
        except Exception as error:
            if unanswered and code_of(error) == done:
                return
            unanswered |= transient(error)
            raise

    retry(attempt)


def wait(environment: Environment, snapshot: str) -> None:
    """Wait until a snapshot is complete.

    Raises:
        Failure: it fails, takes more than an hour, or nobody can be asked any more; RDS goes on with it then.
    """
    repeat = f"./inv cloud.snapshots -e {environment.name}"
    with as_failure(f"The snapshot {snapshot} is not complete", ExitCode.FAILED, repeat=repeat):
        waiter = environment.client("rds").get_waiter("db_snapshot_available")
        waiter.wait(DBSnapshotIdentifier=snapshot, WaiterConfig={"Delay": 10, "MaxAttempts": 360})


def _ours(environment: Environment, entry: dict[str, Any]) -> bool:
    """Whether its tags, if any, say that it is this environment's: shop-staging-x-db may be db of shop-staging's x."""
    tags = {each["Key"]: each["Value"] for each in entry.get("TagList") or []}
    mine = {"Stack": environment.stack, "Environment": environment.name}
    return all(tags.get(key, value) == value for key, value in mine.items())


def _snapshot(environment: Environment, entry: dict[str, Any], states: dict[str, str]) -> DatabaseSnapshot:
    key = str(entry.get("KmsKeyId") or "")
    if key not in states:
        states[key] = _key_state(environment, key)
    created = entry.get("SnapshotCreateTime")
    return DatabaseSnapshot(
        name=str(entry["DBSnapshotIdentifier"]),
        database=str(entry["DBInstanceIdentifier"]),
        created=created.astimezone(UTC).isoformat(timespec="seconds") if created else "",
        user=str(entry.get("MasterUsername", "")),
        size=int(entry.get("AllocatedStorage", 0)),
        engine=f"{entry['Engine']} {entry.get('EngineVersion', '')}".strip(),
        kind=str(entry.get("SnapshotType", "")),
        status=str(entry.get("Status", "")),
        key=key,
        key_state=states[key],
    )


def _key_state(environment: Environment, key: str) -> str:
    """Return whether what a key encrypts can be read: of a key that is to be deleted, until when it can be saved."""
    if not key:
        return "none"
    try:
        key_data = environment.client("kms").describe_key(KeyId=key)["KeyMetadata"]
    except Exception as error:
        if expired(error):
            raise
        return "deleted" if code_of(error) == "NotFoundException" else "unknown"
    state = str(key_data.get("KeyState", "Enabled"))
    if state == "PendingDeletion" and key_data.get("DeletionDate"):
        return f"pending deletion on {key_data['DeletionDate'].astimezone(UTC):%Y-%m-%d}"
    return state.lower()


def _missing(environment: Environment, name: str) -> Failure:
    newest = [each.name for each in snapshots(environment)][:5]
    return Failure(
        f"There is no snapshot {name} in {environment.region} of account {environment.account}.",
        evidence=[f"snapshots of {environment.name}: {', '.join(newest) or 'none'}"],
        next=f"./inv cloud.snapshots -e {environment.name}",
        code=ExitCode.USAGE,
    )


def _unusable(environment: Environment, snapshot: DatabaseSnapshot) -> Failure:
    listed = f"./inv cloud.snapshots -e {environment.name}"
    if snapshot.key_state in READABLE:
        remedy = f"{listed} shows when it is available"
    elif snapshot.key_state == "deleted":
        remedy = f"another snapshot: {listed}"
    else:
        key = f"--region {environment.region} --key-id {snapshot.key}"
        undo = "" if snapshot.key_state == "disabled" else f"aws kms cancel-key-deletion {key} && "
        remedy = f"{undo}aws kms enable-key {key}, then repeat the command"
    return Failure(
        f"The snapshot {snapshot.name} cannot be restored.",
        evidence=[f"it is {snapshot.status}", f"its key {snapshot.key or '(none)'} is {snapshot.key_state}"],
        next=remedy,
        code=ExitCode.PREFLIGHT,
    )
