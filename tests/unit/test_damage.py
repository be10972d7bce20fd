"""What a server says of its data decides what to do: damage, a full disk and everything else differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackhand.local.engines import damage
from stackhand.local.engines.compose import failures
from stackhand.local.engines.embedded.servers import server_for
from stackhand.project.stack import loading
from stackhand.project.stack.model import Stack
from stackhand.project.state import State

BAD_AOF = (
    "# Bad file format reading the append only file appendonly.aof.2.incr.aof: make a backup of your AOF file, "
    "then use ./valkey-check-aof --fix <filename.manifest>"
)
REDIS = [
    BAD_AOF,
    "# Unexpected end of file reading the append only file appendonly.aof.2.incr.aof. You can: 1) Make a backup",
    "# Bad file format reading the append only file appendonly.aof.2.base.rdb: make a backup of your AOF file",
    "# Error reading the append only file appendonly.aof.2.incr.aof, error: unknown command 'FOO'",
    "# Unable to obtain the AOF file appendonly.aof.2.base.rdb length. stat: No such file or directory",
    "*** FATAL AOF MANIFEST FILE ERROR ***",
    "# Internal error in RDB reading offset 0, function at rdb.c:2986 -> Unknown RDB encoding type 90",
    "# Short read or OOM loading DB. Unrecoverable error, aborting now.",
]
POSTGRES = [
    "FATAL:  incorrect checksum in control file",
    'FATAL:  could not read file "global/pg_control": read 100 of 296',
    'but could not open file "/data/global/pg_control": No such file or directory',
    "PANIC:  could not locate a valid checkpoint record",
    'FATAL:  relation mapping file "global/pg_filenode.map" contains invalid data',
    "FATAL:  could not access status of transaction 741",
]
FULL = "# Write error writing append only file on disk: No space left on device"


@pytest.mark.parametrize("line", REDIS)
def test_damaged_data_of_redis_is_told(line: str) -> None:
    assert damage.redis(["Server initialized", line])
    assert not damage.postgres([line])


@pytest.mark.parametrize("line", POSTGRES)
def test_damaged_data_of_postgresql_is_told(line: str) -> None:
    assert damage.postgres(["starting PostgreSQL 16", line])
    assert not damage.redis([line])


def test_a_full_disk_is_no_damage() -> None:
    lines = [FULL, "# Short read or OOM loading DB."]
    assert damage.disk_full(lines)
    assert not damage.redis(lines)


DENIED = 'FATAL:  could not open file "global/pg_control": Permission denied'
OTHER_VERSION = (
    "DETAIL:  The database cluster was initialized with PG_CONTROL_VERSION 1201, but the server was compiled with "
    "PG_CONTROL_VERSION 1300."
)


@pytest.mark.parametrize("line", [DENIED, OTHER_VERSION])
def test_what_may_not_be_read_or_is_of_another_version_is_no_damage(line: str) -> None:
    assert not damage.postgres([line])
    assert damage.other_postgresql([line]) == (line is OTHER_VERSION)
    assert damage.postgres([DENIED, POSTGRES[0]])


@pytest.mark.parametrize(
    ("line", "file"),
    [(REDIS[0], "appendonly.aof.2.incr.aof"), (REDIS[1], "appendonly.aof.2.incr.aof"), (REDIS[3], None)],
)
def test_the_file_that_can_be_cut_off_is_named(line: str, file: str | None) -> None:
    assert damage.truncatable([line]) == file


@pytest.fixture
def stack(folder: Path) -> Stack:
    (folder / "docker-compose.yml").write_text("""\
name: shop
services:
  redis: {image: redis, ports: ["127.0.0.1:9001:6379"], x-embedded: {engine: redis}}
  postgres: {image: postgres, ports: ["127.0.0.1:9002:5432"], x-embedded: {engine: postgres}}
  web: {image: nginx, ports: ["127.0.0.1:9003:80"], x-embedded: {engine: nginx, template: web/site.template}}
""")
    return loading.load(folder, {})


@pytest.mark.parametrize(
    ("service", "line", "next_command"),
    [
        ("redis", BAD_AOF, "mv {data}/redis {data}/redis.damaged2, then ./inv up, which starts empty"),
        ("redis", FULL, "free space on the disk of {data}, then ./inv up"),
        ("redis", "# Fatal config file error", "fix it, then ./inv up (full log: ./inv logs redis)"),
        (
            "postgres",
            POSTGRES[0],
            "mv {data}/postgres {data}/postgres.damaged, then ./inv up, and ./inv db.restore NAME",
        ),
        ("postgres", f"PANIC: {FULL} pg_control", "free space on the disk of {data}, then ./inv up"),
        (
            "web",
            'nginx: [emerg] unknown directive "x" in {config}/web/nginx.conf:12',
            "fix web/site.template, line 12, then",
        ),
    ],
)
def test_each_embedded_server_failure_has_a_fix(
    stack: Stack, folder: Path, service: str, line: str, next_command: str
) -> None:
    state = State(folder)
    state.make()
    (state.data / "redis.damaged").mkdir()  # of another day: mv would put the folder into it
    server = server_for(stack.services[service], stack, state)
    said = server.remedy([line.format(data=state.data, config=state.config)])
    assert said.startswith(next_command.format(data=state.data))


def container(**fields: Any) -> dict[str, Any]:
    volume = {"Type": "volume", "Name": "shop_redis", "Destination": "/data"}
    return {"Mounts": [{"Type": "bind"}, volume], "Config": {"Image": "redis:7-alpine"}, **fields}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (BAD_AOF, "-v shop_redis:/from:ro -v shop_redis.damaged-2"),
        (
            BAD_AOF,
            ":/to redis:7-alpine -a /from/. /to && docker volume rm shop_redis, then ./inv up, which starts empty",
        ),
        (FULL, "free space on the disk of the container engine"),
        ("The data directory was initialized by PostgreSQL version 15", "the image of that version"),
        (OTHER_VERSION, "the image of that version"),
        ("anything else", "fix it, then ./inv up (full log: ./inv logs redis)"),
    ],
)
def test_each_container_failure_has_a_fix(line: str, words: str) -> None:
    assert words in failures.remedy("redis", container(), [line])


def mount(name: str, folder: str, kind: str = "volume") -> dict[str, str]:
    return {"Type": kind, "Name": name, "Destination": folder}


@pytest.mark.parametrize(
    ("found", "pgdata", "volume"),
    [
        ([mount("backups", "/backups"), mount("data", "/var/lib/postgresql/data")], "", "data"),
        ([mount("backups", "/backups"), mount("data", "/db")], "/db/16", "data"),
        ([mount("outer", "/db"), mount("data", "/db/16")], "/db/16", "data"),
        ([mount("wal", "/var/lib/postgresql/data/pg_wal")], "", None),
        ([mount("outer", "/db"), mount("", "/db/16", "bind")], "/db/16", None),
        ([mount("backups", "/backups")], "", None),
    ],
)
def test_the_volume_that_is_moved_away_is_that_of_the_data(
    found: list[dict[str, str]], pgdata: str, volume: str | None
) -> None:
    config = {"Image": "postgres:16", "Env": [f"PGDATA={pgdata}"] if pgdata else None}
    said = failures.remedy("postgres", container(Mounts=found, Config=config), [POSTGRES[3]])
    if volume is None:
        assert said.startswith("fix it")
    else:
        assert f"docker volume rm {volume}, then ./inv up, and ./inv db.restore NAME if you have a snapshot" in said


def test_another_volume_of_redis_is_not_taken_for_its_data() -> None:
    found = container(Mounts=[mount("conf", "/conf")])
    assert failures.remedy("redis", found, [BAD_AOF]).startswith("fix it")
    assert failures.hints(found, [BAD_AOF]) == []


def test_a_container_without_a_volume_is_not_sent_to_one() -> None:
    assert failures.remedy("redis", container(Mounts=[]), [BAD_AOF]).startswith("fix it")
    assert failures.hints(container(Mounts=[]), [BAD_AOF]) == []


def test_a_container_s_damaged_file_can_be_cut_off_in_its_volume() -> None:
    hint = failures.hints(container(), [BAD_AOF])[0]
    assert (
        "-v shop_redis:/data redis:7-alpine redis-check-aof --fix /data/appendonlydir/appendonly.aof.2.incr.aof" in hint
    )
