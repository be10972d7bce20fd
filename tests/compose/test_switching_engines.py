"""From containers to plain processes: the data is named, comes along on request, and goes when it is to go."""

from __future__ import annotations

import pytest

from tests.checkout import Checkout, docker

pytestmark = pytest.mark.slow
COUNT = "SELECT count(*) FROM mine"


def test_the_database_comes_along_and_everything_is_removed_on_request(running: Checkout) -> None:
    running.inv("db.shell", stdin="CREATE TABLE mine AS SELECT generate_series(1, 7)")
    up = running.inv("up", "--engine", "embedded", "--copy-data")
    assert "compose has data of this checkout that embedded does not use: the volume" in _joined(up.out)
    assert "restored the database from compose" in up.out
    assert "only the database was copied" in up.out
    assert running.inv("db.shell", stdin=COUNT).out.split()[2] == "7"
    assert f"the volume {running.name}_postgres" in _joined(running.inv("doctor", check=False).out)

    asked = running.inv("down", "--volumes", check=False)
    assert asked.code == 2
    for place in (
        f"the volume {running.name}_postgres",
        f"the volume {running.name}_redis",
        ".stackhand/data/postgres",
    ):
        assert place in _joined(asked.err)
    running.inv("down", "--volumes", "--yes")
    label = f"label=com.docker.compose.project={running.name}"
    assert docker("volume", "ls", "--quiet", "--filter", label) == ""
    assert not (running.state / "data").exists()
    assert [path.name.partition("-2")[0] for path in (running.state / "snapshots").glob("from-*.dump")] == [
        "from-compose"
    ]


def _joined(text: str) -> str:
    return " ".join(text.split())
