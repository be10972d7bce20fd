"""Which database or cache a verb is about, and the command lines of servers that run in containers only."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.database import choice
from stackhand.database.mongodb import MongoDB
from stackhand.database.mysql import MySQL
from stackhand.database.server import Database, Statistics
from stackhand.local.engines import login
from stackhand.local.engines.compose.database import ComposeDatabase
from stackhand.local.engines.engine import Engine
from stackhand.project.stack import loading
from stackhand.project.stack.model import Service, Stack
from stackhand.project.state import State


def stack(**images: str) -> Stack:
    services = {name: {"image": image} for name, image in images.items()}
    return loading.of(Path("/nowhere"), {"name": "shop", "services": services}, "compose.yaml")


DATABASES = ("postgres", "mysql", "mongodb")
TWO = {"books": "postgres:16", "till": "docker.io/library/mariadb:11", "front": "nginx", "queue": "valkey/valkey:8"}


@pytest.mark.parametrize(
    ("images", "servers", "wanted", "found"),
    [
        (TWO, DATABASES, "till", "till"),
        (TWO, ("postgres",), None, "books"),
        (TWO, ("redis",), None, "queue"),
        (TWO, DATABASES, None, "db.x needs to know which service is meant: books, till."),
        (TWO, ("postgres",), "till", "db.x does not support till, which is no PostgreSQL."),
        (TWO, DATABASES, "front", "db.x does not support front, which is no PostgreSQL, MySQL or MongoDB."),
        (TWO, DATABASES, "gone", "There is no service 'gone' in compose.yaml."),
        ({"a": "redis", "b": "redis"}, ("redis",), None, "db.x needs to know which service is meant: a, b."),
        ({"web": "nginx"}, DATABASES, None, "compose.yaml has no PostgreSQL, MySQL or MongoDB."),
        ({"web": "nginx"}, ("redis",), None, "compose.yaml has no redis."),
    ],
)
def test_the_only_one_is_meant_or_the_one_that_is_named(
    images: dict[str, str], servers: Sequence[str], wanted: str | None, found: str
) -> None:
    if not found.endswith("."):
        assert choice.choose(stack(**images), "db.x", wanted, servers).name == found
        return
    with pytest.raises(Failure) as refused:
        choice.choose(stack(**images), "db.x", wanted, servers)
    assert refused.value.what == found
    assert refused.value.code == (ExitCode.PREFLIGHT if " has no " in found else ExitCode.USAGE)


def service(**environment: str) -> Service:
    entry = {"image": "x", "environment": environment}
    return loading.of(Path("/nowhere"), {"services": {"x": entry}}, "compose.yaml").services["x"]


def test_postgres_is_opened_with_the_defaults_of_its_image() -> None:
    assert login.wanted(service()) == ("postgres", "", "postgres")
    assert login.wanted(service(POSTGRES_USER="ann", POSTGRES_PASSWORD="p", POSTGRES_DB="")) == ("ann", "p", "ann")


@pytest.mark.parametrize(
    ("command", "environment", "password"),
    [
        ([], {}, ""),
        (["redis-server", "--requirepass", "one"], {}, "one"),
        (["sh", "-c", 'redis-server --requirepass "two"'], {}, "two"),
        (["sh", "-c", 'exec redis-server --requirepass "$REDIS_PASSWORD"'], {"REDIS_PASSWORD": "three"}, "three"),
        ([], {"VALKEY_PASSWORD": "four", "REDISCLI_AUTH": ""}, "four"),
    ],
)
def test_the_password_of_a_cache_is_found(command: list[str], environment: dict[str, str], password: str) -> None:
    entry = {"image": "redis", "command": command, "environment": environment}
    found = loading.of(Path("/nowhere"), {"services": {"x": entry}}, "compose.yaml").services["x"]
    assert login.of_cache(found) == password


STAND_IN = """\
#!/bin/sh
for each; do case $each in --config=*) config=$(cat "${each#--config=}") ;; esac; done
printf '%s\\n' "$(basename "$0") $*" "${config:-}" "${STACKHAND_URI:-}" >>"$LOG"
case "$*" in *stats*) printf '%s\\n' 'Log ID' '{"version": "7.0.1", "size_bytes": 5, "connections": 1}' ;; esac
case $(basename "$0") in mongodump) echo an archive ;; mongorestore) cat >/dev/null ;; esac
"""
"""Writes down what it is called with: its words, what stands in the file of --config, and the address."""


@pytest.fixture
def mongodb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MongoDB:
    for name in ("mongosh", "mongodump", "mongorestore"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    environment = {
        "MONGO_INITDB_ROOT_USERNAME": "ann",
        "MONGO_INITDB_ROOT_PASSWORD": PASSWORD,
        "MONGO_INITDB_DATABASE": "shop",
    }
    return MongoDB(engine(tmp_path), service(**environment))


PASSWORD = "p@ss: \"'$HOME"


def engine(root: Path) -> Engine:
    """An engine whose containers are this machine."""
    state = State(root)
    state.make()

    def execute(_: Service, *flags: str, interactive: bool = False) -> list[str]:
        return ["env", f"LOG={root / 'log'}"]

    found: Any = SimpleNamespace(stack=stack(x="mongo"), state=state, execute=execute, revealed=lambda each, _: each)
    return cast("Engine", found)


def test_the_tools_of_mongodb_get_the_password_in_a_file_and_on_no_command_line(
    mongodb: MongoDB, tmp_path: Path
) -> None:
    path = mongodb.save("good")
    assert (path.name, path.read_text()) == ("good.archive", "an archive\n")
    mongodb.replace(path)
    assert mongodb.statistics() == Statistics("7.0.1", 5, 1)
    lines = (tmp_path / "log").read_text().splitlines()
    calls, configs, addresses = lines[::3], lines[1::3], lines[2::3]
    tools = ["--username=ann", "--authenticationDatabase=admin"]
    config = "--config=/dev/fd/3"
    connect = "mongosh --quiet --nodb --eval db = connect(process.env.STACKHAND_URI) --eval"
    assert calls[:4] == [
        " ".join(["mongodump", *tools, "--quiet --db=shop --archive", config]),
        " ".join(["mongorestore", *tools, "--quiet --archive --dryRun", config]),
        f"{connect} db.dropDatabase()",
        " ".join(["mongorestore", *tools, "--quiet --archive", config]),
    ]
    assert [json.loads(each)["password"] for each in configs if each] == [PASSWORD] * 3
    assert {each for each in addresses if each} == {
        "mongodb://ann:p%40ss%3A%20%22%27%24HOME@127.0.0.1:27017/shop?authSource=admin"
    }
    assert not any(part in call for call in calls for part in (PASSWORD, "p%40ss"))


@pytest.mark.parametrize("kind", [MongoDB, MySQL])
def test_a_database_without_a_name_is_not_guessed(kind: type[Database], tmp_path: Path) -> None:
    with pytest.raises(Failure, match="x does not say which of its databases is the stack's") as refused:
        kind(engine(tmp_path), service()).save("good")
    assert refused.value.next.startswith(f"set {kind.files[-1]} in its environment")


def test_each_of_several_postgres_follows_its_own_settings(tmp_path: Path) -> None:
    entry = {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "x"}, "x-embedded": {"engine": "postgres"}}
    in_a_file = entry | {"environment": {"POSTGRES_PASSWORD_FILE": "/run/secrets/x"}}
    services = {"one": entry, "two": entry, "foreign": {"image": "postgres:16"}, "filed": in_a_file}
    state = State(tmp_path)
    state.make()
    running: Any = SimpleNamespace(stack=loading.of(tmp_path, {"services": services}, "compose.yaml"), state=state)
    one, two = ComposeDatabase.all_of(running)
    assert (one.must_reconcile(), two.must_reconcile()) == (True, True)
    one.remember()
    assert (one.must_reconcile(), two.must_reconcile()) == (False, True)
    del services["two"]
    running.stack = loading.of(tmp_path, {"services": services}, "compose.yaml")
    (alone,) = ComposeDatabase.all_of(running)
    alone.remember()
    assert state.read().login == alone.login()
