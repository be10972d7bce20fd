"""A release, stage by stage, against an ECS that does what the test says."""

from __future__ import annotations

from typing import Any

import pytest

from stackhand import ROOT
from stackhand.failure import ExitCode, Failure
from stackhand.release import lease, migrating, prepare, rolling, target, verify
from stackhand.release.manifest import Manifest
from tests.cloud.conftest import SERVICES, Cloud

MIGRATIONS = ROOT / "service" / "migrations"


@pytest.fixture
def held(cloud: Cloud) -> Cloud:
    """An environment whose lease is ours."""
    holder = lease.Holder(cloud.context.store)
    cloud.context.token = holder.take("tester", "commit", "", 0.0, lambda _: None).token
    return cloud


def release(cloud: Cloud, commit: str, **outcome: Any) -> Manifest:
    """Release a commit, all stages of it."""
    digests = cloud.image(commit, **outcome)
    context = cloud.context
    manifest = prepare.prepare(context, target.parse(cloud.output), digests, commit, MIGRATIONS)
    migrating.migrate(context, manifest)
    manifest = rolling.roll(context, manifest.but(migrated=True), context.releases.current())
    verify.probe(context, manifest)
    return verify.record(context, manifest)[1]


def refused(cloud: Cloud, commit: str, **outcome: Any) -> Failure:
    with pytest.raises(Failure) as found:
        release(cloud, commit, **outcome)
    return found.value


def running(cloud: Cloud) -> set[str]:
    """Return the commits that run by now."""
    return {cloud.world.outcomes[cloud.world.running(name).rpartition("@")[2]].version for name in SERVICES}


def test_a_good_release_runs_and_is_recorded_as_the_last_known_good_one(held: Cloud) -> None:
    found = release(held, "first")
    current = held.context.releases.current()
    assert running(held) == {"first"}
    assert current == found
    assert (found.verdict, found.commit) == ("deployed", "first")
    assert {name: part.image.partition("@")[2] for name, part in found.services.items()} == held.image("first")


def test_the_same_commit_again_changes_nothing(held: Cloud) -> None:
    first = release(held, "first")
    before = len(held.world.definitions), len(held.context.store.keys("releases/"))
    assert release(held, "first") == first
    assert (len(held.world.definitions), len(held.context.store.keys("releases/"))) == before


def test_a_release_whose_tasks_fail_is_rolled_back_everywhere_and_says_why(held: Cloud) -> None:
    release(held, "first")
    failure = refused(
        held, "second", kind="fails", after=2.0, exit=3, reason="Essential container in task exited", log=("boom",)
    )
    assert failure.code == ExitCode.DEPLOY_FAILED
    assert "migration of api" in failure.what
