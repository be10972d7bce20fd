"""Which databases of an environment start from which snapshot: by its file, or by `./inv deploy --from-snapshot`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.infrastructure.documents import TerraformPlan
from stackhand.infrastructure.services import existing
from stackhand.infrastructure.snapshots import rds
from stackhand.infrastructure.snapshots.rds import Database, DatabaseSnapshot
from stackhand.infrastructure.store import Store
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.project.environments import Environment
from stackhand.project.stack.model import Stack
from stackhand.project.stack.xaws import Managed

VARIABLE = "snapshot_identifiers"
ENGINE = "postgres 16"
"""What terraform/database.tf makes, with its major version."""
SMALLEST = 20
"""GiB that a database has when docker-compose.yml says nothing else."""


@dataclass(frozen=True)
class Restore:
    """What is restored.

    Args:
        named: snapshots by the names of services; what the file of the environment says, and beyond it.
        replaced: services whose database is there, and gives way.
        chosen: services that `--from-snapshot` restores.
        users: the role that owns each snapshot, by service.
        notes: what there is to say of it.
    """

    named: dict[str, str] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        """Terraform's names for the databases that give way."""
        return [f'aws_db_instance.main["{name}"]' for name in self.replaced]

    def variables(self) -> dict[str, str]:
        """Return Terraform's variables where they differ from those of the environment's file."""
        return {VARIABLE: json.dumps(self.named)} if self.named else {}


def databases(stack: Stack, environment: Environment) -> list[str]:
    """Return the services for which an RDS instance of this environment stands in: no cluster, and none of others."""
    managed = {name: each.aws for name, each in stack.services.items() if isinstance(each.aws, Managed)}
    instances = [name for name, each in managed.items() if each.managed == "rds" and not each.serverless]
    return [name for name in instances if name not in existing.by_service(environment, existing.DATABASES)]


def prepare(environment: Environment, stack: Stack, wanted: str, *, replace: bool) -> Restore:
    """Return what is to be restored, once everything that could stop it has been checked.

    Args:
        environment: where.
        stack: its services.
        wanted: a snapshot's name, or SERVICE=NAME; empty for what the environment's file says.
        replace: also where there is a database already.

    Raises:
        Failure: there is no such snapshot, it does not fit, or a database is there already.
    """
    named = {service: str(name) for service, name in existing.by_service(environment, VARIABLE).items()}
    known = databases(stack, environment)
    chosen = _chosen(environment, known, wanted) if wanted else {}
    notes, replaced, users = [], [], {}
    for service, name in {**named, **chosen}.items():
        database = environment.resource(service)
        aws = stack.services[service].aws if service in stack.services else None
        if service not in known and isinstance(aws, Managed) and aws.serverless:
            notes.append(f"{database} is a cluster: {VARIABLE} names a cluster snapshot, which is not looked up here")
            continue
        there = rds.find_database(environment, database)
        if there and not (replace and service in chosen):
            if rds.restored_from(there) == name:
                continue  # by an earlier run
            if service in chosen:
                raise _occupied(environment, database, wanted)
            notes.append(f"{database} exists and stays unchanged; {VARIABLE} is only for a new one")
            continue
        snapshot = rds.find(environment, name)
        _require_fit(environment, stack, service, snapshot)
        if there and snapshot.kind == "automated":
            raise _automated(environment, snapshot)
        notes.append(f"{database} is created from {name}, {snapshot.created}")
        replaced += [service] if there else []
        users[service] = snapshot.user
    return Restore({**named, **chosen} if chosen else {}, replaced, [*chosen], users, notes)


def make_way(terraform: Terraform, restore: Restore) -> list[str]:
    """Have the databases that give way leave a last snapshot, and return what there is to say of it."""
    stamp = f"before-restore-{datetime.now(UTC):{rds.STAMP}}"
    terraform.change(*restore.addresses, deletion_protection="false", destroying="true", final_snapshot=stamp)
    databases = [terraform.environment.resource(name) for name in restore.replaced]
    return [f"snapshot of the current database: {database}-{stamp}" for database in databases]


def _chosen(environment: Environment, known: list[str], wanted: str) -> dict[str, str]:
    """Return which service's database is to start from a snapshot: the one it was taken of, where there are several."""
    service, _, name = wanted.rpartition("=")
    if not service and len(known) == 1:
        service = known[0]
    if not service:
        taken_of = rds.find(environment, name).database
        service = next((each for each in known if re.search(rf"-{each.replace('_', '-')}(-at-[0-9]+)?$", taken_of)), "")
    if service not in known:
        raise Failure(
            f"There is no database to restore {name} into." if not service else f"There is no database {service!r}.",
            evidence=[f"services with managed: rds: {', '.join(known) or 'none'}"],
            next=f"./inv deploy -e {environment.name} --from-snapshot SERVICE={name}",
            code=ExitCode.USAGE,
        )
    return {service: name}


def require_user(environment: Environment, planned: TerraformPlan, restored: Restore) -> None:
    """Refuse a plan whose database is to have another role than its snapshot: a restore does not rename it.

    Raises:
        Failure: every later plan would replace the database for it.
    """
    for each in planned.resource_changes:
        service = str(each.index)
        user = restored.users.get(service) if each.type == "aws_db_instance" else None
        wanted = (each.change.after or {}).get("username")
        if user and wanted and user != wanted:
            raise Failure(
                f"The snapshot has the role {user}, but {service} needs {wanted}.",
                evidence=["a restore keeps the snapshot's role, so every later plan would replace the database"],
                next=f"set the service's POSTGRES_USER to {user} in settings of "
                f"environments/{environment.name}.tfvars, then repeat the command",
                code=ExitCode.PREFLIGHT,
            )


def _require_fit(environment: Environment, stack: Stack, service: str, snapshot: DatabaseSnapshot) -> None:
    """Refuse a snapshot that cannot become the database that terraform/database.tf describes.

    RDS cannot make storage smaller, and each later plan would replace a database that is not encrypted.
    """
    if snapshot.engine.partition(".")[0] != ENGINE:
        raise Failure(
            f"The snapshot {snapshot.name} is {snapshot.engine}, but {service} is {ENGINE}.",
            next=f"./inv cloud.snapshots -e {environment.name} shows the version of each",
            code=ExitCode.USAGE,
        )
    if not snapshot.key and not environment.emulated:
        copy = f"{snapshot.name.rpartition(':')[2]}-encrypted"
        raise Failure(
            f"The snapshot {snapshot.name} is not encrypted, but {service} is.",
            next=f"aws rds copy-db-snapshot --region {environment.region} --kms-key-id alias/aws/rds "
            f"--source-db-snapshot-identifier {snapshot.name} --target-db-snapshot-identifier {copy}, "
            f"then the same command with {copy}",
            code=ExitCode.PREFLIGHT,
        )
    aws = stack.services[service].aws
    storage = (aws.storage if isinstance(aws, Managed) else None) or SMALLEST
    if snapshot.size > storage:
        raise Failure(
            f"The snapshot {snapshot.name} needs {snapshot.size} GiB, but {service} has {storage}.",
            evidence=["a database's storage grows automatically and cannot shrink"],
            next=f"write storage: {snapshot.size} into x-aws of {service} in {stack.file}, commit it, "
            "then repeat the command",
            code=ExitCode.PREFLIGHT,
        )


def _automated(environment: Environment, snapshot: DatabaseSnapshot) -> Failure:
    copy = f"{snapshot.database}-{snapshot.name.rpartition(':')[2]}-copy"
    return Failure(
        f"The snapshot {snapshot.name} is automated and may be deleted with its database.",
        evidence=["only a manual snapshot or a copy is sure to outlast the replaced database"],
        next=f"aws rds copy-db-snapshot --region {environment.region} --source-db-snapshot-identifier {snapshot.name} "
        f"--target-db-snapshot-identifier {copy}, then the same command with {copy}",
        code=ExitCode.PREFLIGHT,
    )


def _occupied(environment: Environment, database: str, name: str) -> Failure:
    return Failure(
        f"{environment.name} already has a database: {database}.",
        evidence=["a snapshot becomes a new database; it cannot be loaded into an existing one"],
        next=f"./inv deploy -e {environment.name} --from-snapshot {name} --replace-database: takes a snapshot of the "
        "current one and replaces it; the services are down meanwhile (docs/operations.md, Restore)",
        code=ExitCode.USAGE,
    )


KEY = "restore.json"


class UnfinishedRestore(msgspec.Struct, frozen=True):
    """A restore that has begun.

    Args:
        snapshots: the snapshot that each replaced database starts from, by service.
        by: who began it.
        began: when, in UTC.
        replaced: what AWS calls each of the databases that give way; a new one of the same name has another.
    """

    snapshots: dict[str, str]
    by: str
    began: str
    replaced: dict[str, str] = {}


def record(store: Store, restored: Restore) -> None:
    """Note that databases are about to give way.

    Raises:
        Failure: the bucket cannot be written.
    """
    chosen = {service: restored.named[service] for service in restored.replaced}
    replaced = {service: _resource_id(_database(store.environment, service)) for service in chosen}
    store.write(KEY, UnfinishedRestore(chosen, account.owner(), account.timestamp(), replaced))


def forget(store: Store) -> None:
    """Forget it: the databases are there.

    Raises:
        Failure: the bucket cannot be written.
    """
    if document := store.read(KEY):
        store.remove(KEY, etag=document.etag)


def require_finished(store: Store, chosen: Sequence[str]) -> None:
    """Go on unless a restore was interrupted that this deploy does not finish.

    One that came to nothing, or that was complete but for its note, holds up nobody.

    Raises:
        Failure: there is one; its database is gone, or does not have its data yet.
    """
    document = store.read(KEY)
    if document is None:
        return
    unfinished = document.to(UnfinishedRestore)
    for service in (each for each in unfinished.snapshots if each not in chosen):
        database = _database(store.environment, service)
        if not _complete(unfinished, service, database):
            raise _interrupted(store.environment, unfinished, service, database)
    if not set(unfinished.snapshots) & set(chosen):
        store.remove(KEY, etag=document.etag)


def _database(environment: Environment, service: str) -> Database | None:
    return rds.find_database(environment, environment.resource(service))


def _resource_id(database: Database | None) -> str:
    return str((database or {}).get("DbiResourceId", ""))


def _complete(unfinished: UnfinishedRestore, service: str, database: Database | None) -> bool:
    """Whether a database is the one that was to give way, or started from the snapshot that was to replace it."""
    if database is None or database.get("DBInstanceStatus") == "deleting":
        return False
    untouched = bool(_resource_id(database)) and _resource_id(database) == unfinished.replaced.get(service)
    return untouched or rds.restored_from(database) == unfinished.snapshots[service]


def _interrupted(
    environment: Environment, unfinished: UnfinishedRestore, service: str, database: Database | None
) -> Failure:
    state = "is gone" if database is None else "is without its data"
    again = f"--from-snapshot {service}={unfinished.snapshots[service]}{' --replace-database' if database else ''}"
    return Failure(
        f"A restore of {environment.name} was interrupted: the database of {service} {state}.",
        evidence=[
            f"{unfinished.by} started it at {unfinished.began}",
            "another deploy would leave it so; add --tag if it was for an earlier commit",
        ],
        next=f"./inv deploy -e {environment.name} {again}",
        code=ExitCode.PREFLIGHT,
    )
