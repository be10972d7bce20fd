"""Incidents as clients read them, and notes on them."""

from __future__ import annotations

import pytest

from service.history import api, reports
from service.pool import Pool
from tests.service.history_kit import NOON, World, fails, write


def test_incidents_are_paged_newest_first(world: World) -> None:
    for number in range(7):
        write(world, fails(-1000.0 * (number + 1)), "db" if number % 2 else "cache")
    pages, mark = [], None
    while True:
        page = reports.incidents(world.query, 3, mark, NOON)
        pages.append([each["started_at"] for each in page["incidents"]])
        mark = page["next"]
        if mark is None:
            break
        world.run("DELETE FROM history_incident WHERE started_at = (SELECT max(started_at) FROM history_incident)")
    every = [at for page in pages for at in page]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert every == sorted(every, reverse=True)
    assert len(set(every)) == 7


def test_incident_has_component_state_and_duration(world: World) -> None:
    write(world, fails(-60))
    (found,) = reports.incidents(world.query, 10, None, NOON)["incidents"]
    assert found | {"id": 0, "updated_at": ""} == {
        "id": 0,
        "component": "db",
        "state": "fail",
        "code": "",
        "started_at": "2025-03-11T11:59:00.000Z",
        "ended_at": "2025-03-11T11:59:30.000Z",
        "duration_s": 30,
        "note": "",
        "updated_at": "",
    }


@pytest.mark.parametrize("mark", ["", "x", "1", "1-", "-1", "1-2-3", "1" * 15 + "-1", "٣-1", "1-1\n"])
def test_invalid_cursor_is_refused(world: World, mark: str) -> None:
    with pytest.raises(ValueError, match="not the `next` of a page"):
        reports.incidents(world.query, 10, mark, NOON)


@pytest.mark.parametrize("limit", [-5, 0, 1, 10**9])
def test_page_size_is_bounded(world: World, limit: int) -> None:
    world.run(
        "INSERT INTO history_incident (component, started_at, ended_at, worst, code)"
        " SELECT 'db', now() - n * interval '1 hour', now(), 'fail', '' FROM generate_series(1, 150) AS n"
    )
    assert len(reports.incidents(world.query, limit, None, NOON)["incidents"]) == (100 if limit > 1 else 1)


def test_summary_has_uptime_and_open_incidents_of_known_components(world: World) -> None:
    write(world, fails(-60, end="fail"), "db")
    write(world, fails(-60, end="fail"), "gone")
    write(world, fails(-60), "cache")
    found = api.summarize(world.query, ["db", "cache", "new"], NOON)
    assert [(each["component"], each["ended_at"], each["duration_s"]) for each in found["incidents"]] == [
        ("db", None, 60)
    ]
    assert {name: each["percent"] for name, each in found["uptime"].items()} == {"db": 0, "cache": 50, "new": None}


def test_note_is_stored_and_bounded(world: World) -> None:
    write(world, fails(-60))
    identity = reports.incidents(world.query, 1, None, NOON)["incidents"][0]["id"]
    pool = Pool(world.settings.database)
    try:
        assert reports.set_note(pool, identity, " A disk was full: 'quoted'; 🙂 ")
        assert reports.incidents(pool.query, 1, None, NOON)["incidents"][0]["note"] == "A disk was full: 'quoted'; 🙂"
        assert reports.set_note(pool, identity, "x" * 2000)
        with pytest.raises(ValueError, match="2000 characters, but it has 2001"):
            reports.set_note(pool, identity, "x" * 2001)
        for bad in ("a\0b", "a\ud800b"):
            with pytest.raises(ValueError, match="cannot be stored"):
                reports.set_note(pool, identity, bad)
        for unknown in (identity + 1, 0, -1, 2**63, 10**30):
            assert not reports.set_note(pool, unknown, "?")
    finally:
        pool.close()
