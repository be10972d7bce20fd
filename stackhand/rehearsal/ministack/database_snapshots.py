"""Snapshots of databases that have the data in them, for ministack, whose own are only names.

A snapshot is a dump of PostgreSQL's own, with its roles. Like on AWS, a database that is restored has the password of
then until it is given another; the stand-in for Terraform's provider creates it with a tag instead, and with its new
password.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ministack.services import rds

FOLDER = Path(tempfile.gettempdir()) / f"database-snapshots-{os.environ['GATEWAY_PORT']}"
RESTORED = "RestoredFrom"
Parameters = dict[str, Any]
_awaited: dict[str, str] = {}
"""The snapshots that databases are to start from, until they accept connections."""

_create = rds._create_db_instance
_delete = rds._delete_db_instance
_note = rds._create_snapshot_internal
_wait = rds._wait_for_database_ready


def note(name: str, instance: dict[str, Any]) -> dict[str, Any]:
    """Note down a snapshot, and dump the database unless that was done."""
    if not _file(name).exists():
        _dump(name, instance)
    snapshot: dict[str, Any] = _note(name, instance)
    snapshot["_MasterUserPassword"] = instance["_MasterUserPassword"]
    return snapshot


def delete(given: Parameters) -> Any:
    """Delete a database; its last snapshot is taken while it still runs."""
    instance = rds._resolve_instance(rds._p(given, "DBInstanceIdentifier"))
    name = rds._p(given, "FinalDBSnapshotIdentifier")
    if name in rds._snapshots:
        return rds._error("DBSnapshotAlreadyExists", f"Snapshot {name} already exists.", 400)
    if instance and name and not instance.get("DeletionProtection"):
        _dump(name, instance)
    return _delete(given)


def create(given: Parameters) -> Any:
    """Create a database; one whose tag says so has the data of a snapshot, and then it is available."""
    tags = {each["Key"]: each["Value"] for each in rds._parse_tags(given)}
    if name := tags.get(RESTORED):
        if name not in rds._snapshots:
            return rds._error("DBSnapshotNotFound", f"Snapshot {name} not found.", 404)
        _awaited[rds._p(given, "DBInstanceIdentifier")] = name
    return _create(given)


def restore(given: Parameters) -> Any:
    """Create a database from a snapshot: RestoreDBInstanceFromDBSnapshot."""
    snapshot = rds._snapshots.get(rds._p(given, "DBSnapshotIdentifier"))
    if snapshot is None:
        return rds._error("DBSnapshotNotFound", "There is no such snapshot.", 404)
    if (name := rds._p(given, "DBInstanceIdentifier")) in rds._instances:
        return rds._error("DBInstanceAlreadyExists", f"DBInstance {name} already exists.", 400)
    kept = ("Engine", "EngineVersion", "MasterUsername", "DBName", "AllocatedStorage", "KmsKeyId")
    like = {key: [str(snapshot[key])] for key in kept if snapshot.get(key)}
    like["MasterUserPassword"] = [snapshot["_MasterUserPassword"]]
    _awaited[name] = snapshot["DBSnapshotIdentifier"]
    answer = _create({**like, **given})
    action = "RestoreDBInstanceFromDBSnapshot"
    if name not in rds._instances:
        return answer
    return rds._single_instance_response(f"{action}Response", f"{action}Result", rds._instances[name])


def wait(host: str, *rest: Any) -> bool:
    """Wait until a database accepts connections, and give it the data that it is to start with."""
    ready = bool(_wait(host, *rest))
    for name, snapshot in list(_awaited.items()):
        instance = rds._instances.get(name)
        if ready and instance and instance.get("_internal_address") == host:
            del _awaited[name]
            _load(snapshot, instance)
    return ready


def _dump(name: str, instance: dict[str, Any]) -> None:
    FOLDER.mkdir(exist_ok=True)
    _file(name).write_bytes(_roles(instance) + _run(instance, "pg_dump"))


def _roles(instance: dict[str, Any]) -> bytes:
    """Return the SQL that makes the roles of a database, but for the one that each new database has."""
    own = re.compile(rf'(CREATE|ALTER) ROLE "?{re.escape(instance["MasterUsername"])}"?[; ]'.encode())
    lines = _run(instance, "pg_dumpall", "--roles-only").splitlines(keepends=True)
    return b"".join(line for line in lines if not own.match(line))


def _load(name: str, instance: dict[str, Any]) -> None:
    with io.BytesIO() as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(_file(name), arcname="snapshot.sql")
        archive.close()
        _container(instance).put_archive("/tmp", packed.getvalue())  # noqa: S108 - the container's own
    _run(instance, "psql", "--quiet", "--set=ON_ERROR_STOP=1", "--file=/tmp/snapshot.sql")


def _run(instance: dict[str, Any], *args: str) -> bytes:
    """Run a program of PostgreSQL beside a database, and return what it says."""
    login = ["-h", "/var/run/postgresql", "-U", instance["MasterUsername"], "-d", f"dbname={instance['DBName']}"]
    code, (out, err) = _container(instance).exec_run([*args, *login], user="postgres", demux=True)
    if code != 0:
        instance["DBInstanceStatus"] = "failed"
        raise RuntimeError(f"{args[0]}: {(err or b'').decode(errors='replace')}")
    return out or b""


def _container(instance: dict[str, Any]) -> Any:
    return rds._get_docker().containers.get(instance["_docker_container_id"])


def _file(name: str) -> Path:
    return FOLDER / f"{name}.sql"
