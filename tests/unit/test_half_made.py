"""A volume is removed by itself only when its own files show that the making of it was interrupted."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackhand.local.engines.compose import volumes
from stackhand.local.engines.compose.database import NEVER_SERVED

FRESH = ("PG_VERSION", "base/1/1259", "base/1/1259_fsm", "base/1/pg_filenode.map", "base/5/", "pg_tblspc/")


@pytest.mark.parametrize(
    ("more", "never"),
    [
        ([], True),
        (["postmaster.opts"], False),
        (["backup_label"], False),
        (["standby.signal"], False),
        (["base/16384/1259"], False),
        (["base/5/16385"], False),
        (["base/5/16385_vm.1"], False),
        (["pg_tblspc/16390"], False),
    ],
    ids=str,
)
def test_only_what_initdb_alone_has_written_is_half_made(folder: Path, more: list[str], never: bool) -> None:
    for name in (*FRESH, *more):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True) if name.endswith("/") else path.touch()
    words = ["sh", "-c", NEVER_SERVED, "sh", str(folder)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == ("never\n" if never else "")


def test_a_folder_without_a_version_is_not_touched(folder: Path) -> None:
    words = ["sh", "-c", NEVER_SERVED, "sh", str(folder)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == ""


def document(mount: dict[str, Any], **volume: Any) -> dict[str, Any]:
    written = {"type": "volume", "source": "db", "target": "/var/lib/postgresql/data", **mount}
    other = {"type": "volume", "source": "backups", "target": "/backups"}
    named = {"db": {"name": "shop_db", **volume}, "backups": {"name": "shop_backups"}}
    return {"services": {"postgres": {"volumes": [other, written]}}, "volumes": named}


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (document({}), "shop_db"),
        (document({"target": "/var/lib/postgresql/data/"}), "shop_db"),
        (document({"target": "/var/lib/postgresql"}), None),
        (document({"type": "bind", "source": "/somewhere"}), None),
        (document({"volume": {"subpath": "16"}}), None),
        (document({}, external=True), None),
        ({"services": {"postgres": {}}}, None),
    ],
)
def test_the_volume_is_the_one_at_the_data_folder(found: dict[str, Any], name: str | None) -> None:
    assert volumes.own_volume(found, "postgres", volumes.folder_of_postgres([])) == name


def test_the_data_folder_is_where_the_environment_says() -> None:
    assert volumes.folder_of_postgres(["PATH=/bin", "PGDATA=/image", "PGDATA=/own"]) == "/own"
    assert volumes.folder_of_postgres(["PATH=/bin"]) == volumes.PGDATA
