"""Snapshots of an environment's databases: what is listed, what may be restored, and what is refused."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec import structs

from stackhand.aws import session
from stackhand.aws.waiting import Retry
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.infrastructure.documents import Effect, Resource, TerraformPlan
from stackhand.infrastructure.snapshots import backups, rds, restore
from stackhand.infrastructure.store import Store
from stackhand.project import environments, settings
from stackhand.project.environments import Environment
from stackhand.project.stack import loading
from stackhand.project.stack.model import Stack
from stackhand.project.stack.xaws import Managed
from stackhand.release import verbs as deploy
from tests.checkout import ROOT
from tests.cloud.fake_rollout import ACCOUNT, REGION

_numbers = itertools.count(1)


@pytest.fixture
def staging(moto: str, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment with nothing in it, whose RDS and KMS are moto's."""
    for key, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": moto}.items():
        monkeypatch.setenv(key, value)
    found = Environment("staging", f"keep{next(_numbers)}", REGION, ACCOUNT)
    monkeypatch.setattr(environments, "load", lambda _name: found)
    monkeypatch.setattr(account, "check", lambda _environment: "")
    return found


@pytest.fixture(scope="module")
def stack() -> Stack:
    return loading.load(ROOT, settings.ensure(ROOT, check=True).values)


def database(environment: Environment, service: str = "postgres", **more: Any) -> str:
    """Have a database, and return its identifier."""
    name = f"{environment.stack}-{environment.name}-{service}"
    words = {"DBInstanceIdentifier": name, "Engine": "postgres", "EngineVersion": "16.4"}
    others = {"DBInstanceClass": "db.t4g.micro", "MasterUsername": "shop", "MasterUserPassword": "abcdefgh"}
    key = {"StorageEncrypted": True, "KmsKeyId": environment.client("kms").create_key()["KeyMetadata"]["Arn"]}
    given = {"AllocatedStorage": 20, **words, **others, **({} if "StorageEncrypted" in more else key), **more}
    environment.client("rds").create_db_instance(**given)
    return name


def destroyed(environment: Environment, **more: Any) -> str:
    """Have the snapshot of a database that is gone, and return its name."""
    name = database(environment, **more)
    client = environment.client("rds")
    client.delete_db_instance(DBInstanceIdentifier=name, FinalDBSnapshotIdentifier=f"{name}-final")
    return f"{name}-final"


def test_the_snapshots_of_a_destroyed_environment_are_listed(
    staging: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    name = destroyed(staging)
    database(replace(staging, stack=f"other{staging.stack}"))
    backups.show(environment="staging", json=True)
    found = json.loads(capsys.readouterr().out)["snapshots"]
    assert [(each["name"], each["size"], each["status"], each["key_state"]) for each in found] == [
        (name, 20, "available", "enabled")
    ]
    backups.show(environment="staging", json=False)
    assert name in capsys.readouterr().out


def test_a_snapshot_whose_name_only_begins_like_ours_is_not_listed(staging: Environment) -> None:
    theirs = [{"Key": "Stack", "Value": f"{staging.stack}-staging"}, {"Key": "Environment", "Value": "x"}]
    name = database(staging, "x-postgres", Tags=theirs, CopyTagsToSnapshot=True)
    staging.client("rds").create_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier=f"{name}-s", Tags=theirs)
    assert rds.snapshots(staging) == []


def test_a_snapshot_taken_now_has_the_name_that_is_printed(
    staging: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    database(staging)
    backups.take(environment="staging", database="", at="")
    assert [each.name for each in rds.snapshots(staging) if each.kind == "manual"] == [capsys.readouterr().out.strip()]


def test_a_point_in_time_becomes_a_snapshot_and_its_copy_is_removed(
    staging: Environment, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    name = database(staging, BackupRetentionPeriod=7)
    backups.take(environment="staging", database="postgres", at=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    taken = capsys.readouterr().out.strip()
    assert taken.startswith(f"{name}-at-")
    assert rds.find(staging, taken).status == "available"
    left = [each["DBInstanceIdentifier"] for each in staging.client("rds").describe_db_instances()["DBInstances"]]
    assert [each for each in left if each.startswith(name)] == [name]
    assert restore.prepare(staging, stack, taken, replace=True).replaced == ["postgres"]


def test_an_automated_snapshot_does_not_replace_a_database(
    staging: Environment, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database(staging)
    staging.client("rds").create_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier=f"{name}-a")
    automated = replace(rds.find(staging, f"{name}-a"), kind="automated", name=f"rds:{name}-a")
    monkeypatch.setattr(rds, "find", lambda *_: automated)
    with pytest.raises(Failure, match="is automated") as refused:
        restore.prepare(staging, stack, f"postgres={automated.name}", replace=True)
    assert f"copy-db-snapshot --region {REGION} --source-db-snapshot-identifier rds:{name}-a" in str(refused.value.next)


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"at": "yesterday"}, "--at yesterday is not a time with a zone."),
        ({"at": "2026-01-31T02:10:00"}, "--at 2026-01-31T02:10:00 is not a time with a zone."),
        ({"database": "orders"}, "There is no database 'orders'."),
        ({}, "staging has no database "),
    ],
    ids=["no-time", "no-zone", "unknown", "destroyed"],
)
def test_no_snapshot_is_taken_of_what_is_not_there(staging: Environment, flags: dict[str, str], what: str) -> None:
    with pytest.raises(Failure) as found:
        backups.take(environment="staging", **{"database": "", "at": "", **flags})
    assert found.value.what.startswith(what)
    assert (found.value.code, bool(found.value.next)) == (ExitCode.USAGE, True)


def test_a_new_database_starts_from_the_snapshot_that_is_named(staging: Environment, stack: Stack) -> None:
    name = destroyed(staging)
    for wanted in (name, f"postgres={name}"):
        found = restore.prepare(staging, stack, wanted, replace=False)
        assert (found.named, found.replaced) == ({"postgres": name}, [])
        assert json.loads(found.variables()["snapshot_identifiers"]) == {"postgres": name}
    by_file = replace(staging, variables={"snapshot_identifiers": {"postgres": name}})
    assert (
        restore.prepare(by_file, stack, "", replace=False)
        .notes[0]
        .startswith(f"{staging.stack}-staging-postgres is created from {name}, 20")
    )


def test_a_database_that_is_there_gives_way_only_when_that_is_said(staging: Environment, stack: Stack) -> None:
    name = destroyed(staging)
    present = database(staging)
    with pytest.raises(Failure) as found:
        restore.prepare(staging, stack, name, replace=False)
    assert found.value.what == f"staging already has a database: {present}."
    assert f"--from-snapshot {name} --replace-database" in found.value.next
    assert restore.prepare(staging, stack, name, replace=True).addresses == ['aws_db_instance.main["postgres"]']
    by_file = replace(staging, variables={"snapshot_identifiers": {"postgres": "gone-long-ago"}})
    assert restore.prepare(by_file, stack, "", replace=False) == restore.Restore(
        notes=[f"{present} exists and stays unchanged; snapshot_identifiers is only for a new one"]
    )


def test_a_cluster_is_left_to_terraform_and_has_no_snapshot_of_an_instance(staging: Environment, stack: Stack) -> None:
    aurora = Managed("rds", "serverless")
    services = {**stack.services, "postgres": structs.replace(stack.services["postgres"], aws=aurora)}
    serverless = structs.replace(stack, services=services)
    by_file = replace(staging, variables={"snapshot_identifiers": {"postgres": "of-a-cluster"}})
    found = restore.prepare(by_file, serverless, "", replace=False)
    [note] = found.notes
    assert note.startswith(f"{staging.stack}-staging-postgres is a cluster: snapshot_identifiers names")
    with pytest.raises(Failure, match="There is no database"):
        restore.prepare(staging, serverless, "postgres=mine", replace=False)


def test_a_run_that_is_repeated_finds_the_database_restored(staging: Environment, stack: Stack) -> None:
    name = destroyed(staging)
    database(staging, Tags=[{"Key": rds.RESTORED, "Value": name}])
    assert restore.prepare(staging, stack, name, replace=False).notes == []
    assert restore.prepare(staging, stack, name, replace=True).replaced == ["postgres"]


def test_what_cannot_be_restored_is_refused_with_the_way_out(staging: Environment, stack: Stack) -> None:
    small = destroyed(staging)
    with pytest.raises(Failure) as found:
        restore.prepare(staging, stack, "nothing", replace=False)
    assert found.value.evidence == (f"snapshots of staging: {small}",)
    with pytest.raises(Failure) as found:
        restore.prepare(staging, stack, f"orders={small}", replace=False)
    assert found.value.evidence == ("services with managed: rds: postgres",)
    large = destroyed(replace(staging, stack=f"{staging.stack}l"), AllocatedStorage=60)
    with pytest.raises(Failure) as found:
        restore.prepare(staging, stack, large, replace=False)
    assert found.value.what == f"The snapshot {large} needs 60 GiB, but postgres has 20."
    assert "storage: 60" in found.value.next


@pytest.mark.parametrize(
    ("differs", "what", "remedy"),
    [
        ({"EngineVersion": "15.4"}, "is postgres 15.4, but postgres is postgres 16.", "./inv cloud.snapshots"),
        ({"Engine": "mysql", "EngineVersion": "8.0"}, "is mysql 8.0, but postgres is postgres 16.", "./inv cloud"),
        ({"StorageEncrypted": False}, "is not encrypted, but postgres is.", "--kms-key-id alias/aws/rds"),
    ],
    ids=["version", "engine", "encryption"],
)
def test_a_snapshot_that_every_later_plan_would_replace_is_refused(
    staging: Environment, stack: Stack, differs: dict[str, Any], what: str, remedy: str
) -> None:
    name = destroyed(staging, **differs)
    with pytest.raises(Failure) as found:
        restore.prepare(staging, stack, name, replace=False)
    assert found.value.what == f"The snapshot {name} {what}"
    assert remedy in found.value.next


def test_a_snapshot_of_another_role_is_refused_before_anything_is_applied(staging: Environment, stack: Stack) -> None:
    found = restore.prepare(staging, stack, destroyed(staging), replace=False)
    change = Effect(["create"], after={"username": "shop"})
    database = Resource(address="a", type="aws_db_instance", index="postgres", change=change)
    restore.require_user(staging, TerraformPlan([database]), found)
    change.after["username"] = "other"
    with pytest.raises(Failure, match="The snapshot has the role shop, but postgres needs other"):
        restore.require_user(staging, TerraformPlan([database]), found)


def test_a_snapshot_is_of_the_service_whose_underscores_rds_does_not_have(staging: Environment, tmp_path: Path) -> None:
    postgres = {"image": "postgres:16", "environment": {"POSTGRES_USER": "shop"}, "x-aws": {}}
    stack = loading.of(tmp_path, {"services": {"shop_db": postgres, "db": postgres}}, "compose.yaml")
    name = destroyed(staging, service="shop-db")
    assert restore.prepare(staging, stack, name, replace=False).named == {"shop_db": name}


def test_the_version_that_a_snapshot_must_have_is_that_of_terraform() -> None:
    text = (ROOT / "terraform" / "database.tf").read_text(encoding="utf-8")
    found = re.search(r'engine         = "(\w+)"\n  engine_version = "(\d+)"', text)
    assert found
    assert f"{found[1]} {found[2]}" == restore.ENGINE


@pytest.fixture
def begun(staging: Environment) -> Store:
    """A bucket with the note of a restore whose old database is there yet."""
    where = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    staging.client("s3").create_bucket(Bucket=staging.bucket, **where)
    database(staging)
    store = Store(staging)
    restore.require_finished(store, [])
    restore.record(store, restore.Restore(named={"postgres": "before"}, replaced=["postgres"], chosen=["postgres"]))
    return store


@pytest.mark.parametrize(
    ("there", "advice"),
    [(False, "postgres=before"), (True, "postgres=before --replace-database")],
    ids=["gone", "made-empty"],
)
def test_a_restore_that_was_interrupted_is_finished_before_anything_else(
    staging: Environment, begun: Store, there: bool, advice: str
) -> None:
    destroyed_name = f"{staging.stack}-{staging.name}-postgres"
    staging.client("rds").delete_db_instance(DBInstanceIdentifier=destroyed_name, SkipFinalSnapshot=True)
    if there:
        database(staging)
        note = begun.read(restore.KEY)
        assert note is not None  # moto gives all databases one number
        begun.write(restore.KEY, {**note.to(dict), "replaced": {"postgres": "db-EARLIER"}})
    with pytest.raises(Failure, match="was interrupted: the database of postgres is") as refused:
        restore.require_finished(begun, [])
    assert refused.value.next == f"./inv deploy -e staging --from-snapshot {advice}"
    restore.require_finished(begun, ["postgres"])
    for _ in range(2):
        restore.forget(begun)
    restore.require_finished(begun, [])


@pytest.mark.parametrize("restored", [False, True])
def test_a_restore_that_came_to_nothing_or_to_its_end_holds_up_nobody(
    staging: Environment, begun: Store, restored: bool
) -> None:
    if restored:
        name = f"{staging.stack}-{staging.name}-postgres"
        staging.client("rds").delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
        database(staging, Tags=[{"Key": rds.RESTORED, "Value": "before"}])
    restore.require_finished(begun, [])
    assert begun.read(restore.KEY) is None


def test_a_snapshot_whose_key_is_being_deleted_is_refused_while_it_can_be_saved(
    staging: Environment, stack: Stack
) -> None:
    kms = staging.client("kms")
    made = kms.create_key()["KeyMetadata"]
    identity, key = made["KeyId"], made["Arn"]
    name = destroyed(staging, StorageEncrypted=True, KmsKeyId=key)
    restore.prepare(staging, stack, name, replace=False)
    kms.schedule_key_deletion(KeyId=identity, PendingWindowInDays=30)
    with pytest.raises(Failure) as found:
        restore.prepare(staging, stack, name, replace=False)
    assert "is pending deletion on 2" in found.value.evidence[1]
    assert found.value.next.startswith(
        f"aws kms cancel-key-deletion --region {REGION} --key-id {key} && aws kms enable-key"
    )
    kms.cancel_key_deletion(KeyId=identity)
    kms.enable_key(KeyId=identity)
    restore.prepare(staging, stack, name, replace=False)


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"replace_database": True}, "--replace-database needs a snapshot to create the new database from."),
        ({"from_snapshot": "x", "resume": True}, "A resumed release already has its database."),
        ({}, "This releases to staging."),
        (
            {"from_snapshot": "x", "replace_database": True},
            "staging is down until its database is restored from x.",
        ),
    ],
    ids=["no-snapshot", "resumed", "deploy-not-confirmed", "restore-not-confirmed"],
)
def test_a_restore_that_makes_no_sense_or_is_not_confirmed_begins_nothing(
    staging: Environment, flags: dict[str, Any], what: str
) -> None:
    others = {"tag": "", "yes": False, "json": False, "dirty": False, "allow_older": False, "lock_wait": 0.0}
    given = {"max_severity": "high", "resume": False, "from_snapshot": "", "replace_database": False, **others}
    with pytest.raises(Failure) as found:
        deploy.deploy(environment="staging", skip_hooks=True, **{**given, **flags})
    assert (found.value.what, found.value.code) == (what, ExitCode.USAGE)


def test_a_secret_that_was_removed_and_made_again_is_another_one(staging: Environment) -> None:
    ssm, name = staging.client("ssm"), f"/{staging.stack}/staging/POSTGRES_PASSWORD"
    found = []
    for value in ("before", "after"):
        ssm.put_parameter(Name=name, Value=value, Type="SecureString")
        found.append(session.parameter_versions(ssm, [name]))
        ssm.delete_parameter(Name=name)
    assert found[0] != found[1]  # though both have version 1: its tasks must be replaced


def test_what_rds_refuses_is_one_paragraph(staging: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Failure, match="The database shop cannot be looked up: 127"):
        rds.find_database(staging, "shop")


def test_an_rds_that_answers_with_an_empty_list_has_no_such_thing(
    staging: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = staging.client("rds")
    monkeypatch.setattr(client, "describe_db_snapshots", lambda **_: {"DBSnapshots": []})
    monkeypatch.setattr(client, "describe_db_instances", lambda **_: {"DBInstances": []})
    monkeypatch.setattr(Environment, "client", lambda *_: client)
    assert rds.find_database(staging, "shop") is None
    with pytest.raises(Failure, match="There is no snapshot"):
        rds.find(staging, "gone")


def test_a_write_that_rds_did_although_its_answer_was_lost_is_done() -> None:
    def code(name: str) -> ClientError:
        return ClientError({"Error": {"Code": name, "Message": name}}, "CreateDBSnapshot")

    def write(*codes: str) -> None:
        errors = iter([code(name) for name in codes])

        def call() -> None:
            for error in errors:
                raise error

        rds.write(call, done="DBSnapshotAlreadyExists", retry=Retry(60.0, lambda _: None))

    write("Throttling", "ServiceUnavailable")
    write("Throttling", "DBSnapshotAlreadyExists")
    with pytest.raises(ClientError, match="AlreadyExists"):
        write("DBSnapshotAlreadyExists")
