"""The verbs that look at an environment: they ask AWS themselves, without Ansible."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.project import environments
from stackhand.release import lease, logs, manifest, status, target
from stackhand.release.context import find
from stackhand.release.manifest import KnownMigration, Manifest, ReleasedService
from stackhand.release.stages import acquire
from tests.cloud.conftest import SERVICES, Cloud
from tests.cloud.fake_rollout import CLUSTER, REGION
from tests.cloud.test_stages import release


@pytest.fixture
def released(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """The first release to the environment."""
    monkeypatch.setattr(environments, "load", lambda _name: cloud.environment)
    holder = lease.LeaseClient(cloud.context.store)
    cloud.context.token = holder.take("tester", "commit", "", 0.0, lambda _: None).token
    found = release(cloud, "first")
    holder.give_back()
    return found


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_status_tells_what_runs_where_since_when_and_by_whom(
    cloud: Cloud, released: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    status.status(environment="staging", json=True)
    found = said(capsys)
    assert found["release"]["id"] == found["newest"]["id"] == released.id
    assert [(each["name"], each["state"], each["commit"], each["by"]) for each in found["services"]] == [
        (name, "running", "first", released.by) for name in sorted(SERVICES)
    ]
    assert (found["drift"], found["lease"]) == ([], None)
    status.status(environment="staging", json=False)
    assert f"staging at {found['url']}: first since" in capsys.readouterr().out


def test_status_tells_what_differs_from_what_was_released(
    cloud: Cloud, released: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = cloud.world.register_task_definition(
        cloud.output["services"]["web"]["task_definition"] | {"family": "shop-web"}
    )["taskDefinition"]["taskDefinitionArn"]
    cloud.world.update_service({"service": "shop-web", "taskDefinition": theirs})
    cloud.world.services["shop-api"]["desiredCount"] = 9
    with pytest.raises(Exit) as found:
        status.status(environment="staging", json=True)
    assert found.value.code == ExitCode.UNHEALTHY
    shown = said(capsys)
    assert shown["drift"] == [
        "api: 9 tasks are desired, outside its bounds 1 to 3",
        "web: runs shop-web:3, but shop-web:2 was released",
    ]
    assert {each["name"]: (each["state"], each["commit"]) for each in shown["services"]} == {
        "web": ("rolling", None),
        "api": ("failing", "first"),
    }


def test_the_history_has_every_release_with_its_verdict(
    cloud: Cloud, released: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = released.but(id=f"{released.id}x", verdict="rolled_back", reason="api failed", commit="second")
    cloud.context.releases.write(broken)
    status.releases(environment="staging", lines=20, json=True)
    found = said(capsys)
    assert found["current"] == released.id
    assert [(each["commit"], each["verdict"]) for each in found["releases"]] == [
        ("second", "rolled_back"),
        ("first", "deployed"),
    ]
    status.releases(environment="staging", lines=20, json=False)
    assert "api failed" in capsys.readouterr().out


def test_releases_from_before_an_environment_was_destroyed_are_history_and_no_way_back(
    cloud: Cloud, released: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.context.releases.forget()
    with pytest.raises(Failure, match="staging has no release yet"):
        find("staging")
    reborn = released.but(id=manifest.new_id("reborn"), commit="reborn")
    cloud.context.releases.make_current(reborn)
    for to in ("", "first"):
        with pytest.raises(Failure) as found:
            acquire.choose(cloud.context, "rollback", to)
        assert found.value.code == ExitCode.USAGE
    status.releases(environment="staging", lines=20, json=True)
    assert [each["commit"] for each in said(capsys)["releases"]] == ["reborn", "first"]


def test_unlock_tells_whose_the_lease_is_and_takes_it(
    cloud: Cloud, released: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    status.unlock(environment="staging", yes=True)
    assert capsys.readouterr().out == "Nobody holds the lease of staging.\n"
    lease.LeaseClient(cloud.context.store).take("ann", "c0ffee", "", 0.0, lambda _: None)
    with pytest.raises(Failure) as found:
        status.unlock(environment="staging", yes=False)
    assert found.value.code == ExitCode.USAGE
    assert "held by ann, deploying c0ffee" in capsys.readouterr().out
    status.unlock(environment="staging", yes=True)
    assert lease.current(cloud.context.store) is None


def test_logs_of_all_tasks_come_in_the_order_of_time(
    cloud: Cloud, released: Manifest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS")
    cloudwatch = cloud.environment.client("logs")
    now = int(logs.datetime.now(logs.UTC).timestamp() * 1000)
    for name, offset in (("web", 0), ("api", 500)):
        cloudwatch.create_log_group(logGroupName=f"/shop/{name}")
        where = {"logGroupName": f"/shop/{name}", "logStreamName": f"ecs/{name}/1"}
        cloudwatch.create_log_stream(**where)
        events = [
            {"timestamp": now - 5000 + offset + 1000 * number, "message": f"{name} {number}"} for number in range(3)
        ]
        cloudwatch.put_log_events(**where, logEvents=events)
    try:
        logs.show([], environment="staging", follow=False, since="", lines=2)
        assert capsys.readouterr().out.splitlines() == ["web | web 1", "api | api 1", "web | web 2", "api | api 2"]
        logs.show(["api"], environment="staging", follow=False, since="1h", lines=1)
        assert capsys.readouterr().out == "api 2\n"

        def later(_seconds: float) -> None:
            if looked:
                raise KeyboardInterrupt
            looked.append(True)
            added = [{"timestamp": now, "message": "web new"}]
            cloudwatch.put_log_events(logGroupName="/shop/web", logStreamName="ecs/web/1", logEvents=added)

        looked: list[bool] = []
        monkeypatch.setattr(logs.time, "sleep", later)
        with pytest.raises(KeyboardInterrupt):
            logs.show(["web"], environment="staging", follow=True, since="", lines=1)
        assert capsys.readouterr().out.splitlines() == ["web 2", "web new"]
        with pytest.raises(Failure) as found:
            logs.show(["nothing"], environment="staging", follow=False, since="", lines=1)
        assert found.value.code == ExitCode.USAGE
    finally:
        for name in SERVICES:
            cloudwatch.delete_log_group(logGroupName=f"/shop/{name}")


class Busy:
    """CloudWatch with the log of a service that says a lot, ten lines a second for an hour."""

    def __init__(self, now: int) -> None:
        self.lines = [now - 100 * number for number in reversed(range(36_000))]
        self.read = 0

    def get_paginator(self, _operation: str) -> Any:
        return self

    def paginate(self, **words: Any) -> Any:
        end = words.get("endTime", self.lines[-1])
        found = [at for at in self.lines if words["startTime"] <= at <= end]
        for first in range(0, len(found), 1000):
            events = [{"timestamp": at, "message": f"at {at}", "eventId": str(at)} for at in found[first:][:1000]]
            self.read += len(events)
            yield {"events": events}


@pytest.mark.parametrize(("lines", "at_most"), [(5, 110), (150, 710), (40_000, 36_010)])
def test_no_more_of_a_long_log_is_read_than_is_asked_for(cloud: Cloud, lines: int, at_most: int) -> None:
    cloudwatch = Busy(int(logs.time.time() * 1000))
    service = target.parse(cloud.output).services["web"]
    found = logs.last(cloudwatch, "web", service, cloudwatch.lines[0], lines)
    assert [line.at for line in found] == cloudwatch.lines[-lines:]
    assert cloudwatch.read <= at_most


def test_a_log_that_is_followed_begins_with_the_lines_that_are_asked_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudwatch = Busy(int(logs.time.time() * 1000))
    service = target.parse(cloud.output).services["web"]
    first = {"web": logs.last(cloudwatch, "web", service, 0, 3)}
    written: list[str] = []

    def later(_seconds: float) -> None:
        if cloudwatch.lines[-1] > first["web"][-1].at:
            raise KeyboardInterrupt
        cloudwatch.lines.append(cloudwatch.lines[-1] + 100)

    monkeypatch.setattr(logs.time, "sleep", later)
    with pytest.raises(KeyboardInterrupt):
        logs._follow(cloudwatch, {"web": service}, 0, first, lambda _name, text: written.append(text))
    assert written == [f"at {cloudwatch.lines[-1]}"]


def test_exec_needs_its_plugin_and_a_task(
    cloud: Cloud, released: Manifest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs.shutil, "which", lambda _: None)
    with pytest.raises(Failure) as found:
        logs.execute(environment="staging", service="api", command="sh")
    assert found.value.code == ExitCode.PREFLIGHT
    monkeypatch.setattr(logs.shutil, "which", lambda name: name)
    with pytest.raises(Failure) as found:
        logs.execute(environment="staging", service="api", command="sh")
    assert found.value.what == "api has no running task."
    task = cloud.world.start("api")
    started: list[list[str]] = []
    monkeypatch.setattr(logs.os, "execvpe", lambda _name, words, _environment: started.append(words))
    logs.execute(environment="staging", service="api", command="ls")
    name, session, region, verb, _, target, _ = started[0]
    assert (name, json.loads(session)["tokenValue"], region, verb) == (logs.PLUGIN, "ls", REGION, "StartSession")
    assert json.loads(target) == {"Target": f"ecs:{CLUSTER}_{task}"}
    assert "api: capabilities are dropped" in "".join(capsys.readouterr())


def test_an_environment_without_a_release_says_so(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "load", lambda _name: cloud.environment)
    with pytest.raises(Failure) as found:
        find("staging")
    assert found.value.what == "staging has no release yet."


def test_a_release_is_found_by_its_commit_too(cloud: Cloud, released: Manifest) -> None:
    part = {"api": ReleasedService("td", "image")}
    newer = Manifest("99", "staging", "first-again", "ann", "", services=part, migrations=[KnownMigration(1, "a")])
    cloud.context.releases.write(newer)
    assert cloud.context.releases.named("first") == released
    assert cloud.context.releases.named("99") == newer
    with pytest.raises(Failure) as found:
        cloud.context.releases.named("second")
    assert found.value.code == ExitCode.USAGE
