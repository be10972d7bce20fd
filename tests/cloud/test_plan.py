"""What a release would change, told before it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackhand.release import lease, plan, source
from tests.cloud.conftest import Cloud
from tests.cloud.test_stages import MIGRATIONS, release


@pytest.fixture
def head(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> str:
    """The commit that is checked out, and released."""
    holder = lease.Holder(cloud.context.store)
    cloud.context.token = holder.take("tester", "commit", "", 0.0, lambda _: None).token
    monkeypatch.setattr(source, "choose", lambda **_: source.Source("first"))
    release(cloud, "first")
    return "first"


def test_what_runs_already_is_no_change(cloud: Cloud, head: str) -> None:
    found = plan.plan(cloud.context, cloud.output, MIGRATIONS)
    assert (found["changed"], found["drift"], found["migrations"]) == (False, [], [])
    assert plan.lines(found) == ["first runs already, as it would be released: no changes"]
    assert plan.plan(cloud.context, {}, MIGRATIONS) == found


def test_a_plan_names_each_setting_image_and_migration(cloud: Cloud, head: str, tmp_path: Path) -> None:
    for path in MIGRATIONS.glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "900_gone.sql").write_text("-- migrate: breaking\nDROP TABLE x;\n", encoding="utf-8")
    definition = cloud.output["services"]["web"]["task_definition"]
    definition["memory"] = "1024"
    found = plan.plan(cloud.context, cloud.output, tmp_path)
    assert found["changed"]
    assert plan.lines(found) == [
        "a release of first over first:",
        "web: memory: 512 -> 1024",
        "migration: 900_gone.sql (breaking: no way back behind it)",
    ]


def test_an_image_that_is_still_to_be_built_is_a_change(
    cloud: Cloud, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "choose", lambda **_: source.Source("never-pushed"))
    changes = plan.plan(cloud.context, cloud.output, MIGRATIONS)["services"]["api"]["changes"]
    assert len(changes) == 1
    assert changes[0].startswith("containerDefinitions[api].image: ")
    assert changes[0].endswith("/shop-api@(still to be built)")


def test_before_there_is_anything_all_is_a_change(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "choose", lambda **_: source.Source("first"))
    assert plan.plan(cloud.context, {}, MIGRATIONS)["changed"]
    cloud.world.fail("DescribeServices", "ClusterNotFoundException")
    found = plan.plan(cloud.context, cloud.output, MIGRATIONS)
    assert found["services"]["api"]["changes"] == ["is new"]
