"""The database that takes another one's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackhand.cli.failure import Failure
from stackhand.database import draft, outside, roles
from stackhand.database.outside import DumpRole, Outside
from stackhand.database.restore import LONGEST_NAME, spare_names


@pytest.mark.parametrize(
    "name",
    ["shop", "x" * 59, "x" * 63, "x" * 49 + "_stackhand_new", "x" * 49 + "_stackhand_old", "ü" * 31, "x" + "ü" * 31],
)
def test_a_draft_has_a_name_that_postgresql_neither_cuts_nor_takes_for_another(name: str) -> None:
    names = spare_names(name)
    assert all(len(each.encode()) <= LONGEST_NAME for each in names)
    assert len({each.encode()[:LONGEST_NAME] for each in (name, *names)}) == 3


def test_roles_are_made_after_those_they_are_members_of() -> None:
    known = {name: DumpRole(login=False, groups=groups, statements=[]) for name, groups in MEMBERS.items()}
    found = Outside(locale="", roles=known)
    assert roles._groups_first(["app", "staff", "unknown"], found, {"here"}) == ["all", "staff", "app", "unknown"]


MEMBERS = {"app": ["staff", "here"], "staff": ["all"], "all": [], "here": []}


def test_missing_extension_is_read_from_server_error(tmp_path: Path) -> None:
    said = 'pg_restore: error: could not execute query: ERROR:  extension "post gis" is not available'
    found = draft.MISSING.search(said)
    assert found
    assert found.groups() == ("extension", "post gis")
    with pytest.raises(Failure, match="The snapshot good needs extensions that this server lacks: post gis"):
        draft.refuse_without([found[2]], tmp_path / "good.dump")


def test_a_snapshot_without_its_companion_or_with_a_broken_one_is_a_dump_alone(tmp_path: Path) -> None:
    assert outside.read(tmp_path / "good.dump") is None
    (tmp_path / "good.outside.json").write_text("{")
    assert outside.read(tmp_path / "good.dump") is None
