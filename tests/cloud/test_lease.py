"""One deploy per environment: the lease in S3, and the process that keeps it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from stackhand.ansible import process
from stackhand.aws.waiting import Clock, Interrupted
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.store import Store
from stackhand.project import environments
from stackhand.release import heartbeat, lease
from stackhand.release.lease import LASTS, LeaseClient
from stackhand.release.stages import acquire
from tests.checkout import eventually
from tests.cloud.conftest import Cloud


class Calendar:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


def holder(cloud: Cloud, calendar: Calendar) -> LeaseClient:
    return LeaseClient(cloud.context.store, lambda: calendar.now, calendar.sleep)


class Lossy(Store):
    """A bucket whose answer to a write is lost at times, after which botocore writes again what is written."""

    loses = 1

    def write(self, key: str, content: Mapping[str, Any], *, etag: str | None = None, new: bool = False) -> str:
        found = super().write(key, content, etag=etag, new=new)
        if self.loses > 0:
            self.loses -= 1
            return super().write(key, content, etag=etag, new=new)
        return found


def take(holder: LeaseClient, timeout: float = 0.0, owner: str = "ann", said: list[str] | None = None) -> lease.Lease:
    waiting = (said if said is not None else []).append
    return holder.take(owner, "c0ffee", "https://ci.example.org/1", timeout, waiting)


def test_who_comes_second_is_told_whose_it_is_and_what_to_do(cloud: Cloud, calendar: Calendar) -> None:
    take(holder(cloud, calendar))
    with pytest.raises(Failure) as found:
        take(holder(cloud, calendar), owner="bob")
    assert found.value.code == ExitCode.LOCKED
    assert found.value.evidence[0] == "held by ann, deploying c0ffee"
    assert "https://ci.example.org/1" in found.value.evidence
    assert "cloud.unlock -e staging" in found.value.next


def test_who_waits_gets_it_when_it_is_given_back(cloud: Cloud, calendar: Calendar) -> None:
    first, second = holder(cloud, calendar), holder(cloud, calendar)
    take(first)
    second.sleep = lambda _: first.give_back()
    said: list[str] = []
    assert take(second, 60.0, "bob", said).owner == "bob"
    assert said == ["waiting for the lease: held by ann, deploying c0ffee"]


def test_a_lease_that_nobody_renews_may_be_taken_and_its_old_holder_notices(cloud: Cloud, calendar: Calendar) -> None:
    first, second = holder(cloud, calendar), holder(cloud, calendar)
    token = take(first).token
    calendar.sleep(LASTS - 1)
    assert first.renew()
    calendar.sleep(LASTS - 1)
    with pytest.raises(Failure):
        take(second)
    calendar.sleep(2)
    assert take(second, owner="bob").owner == "bob"
    assert not first.renew()
    first.give_back()
    with pytest.raises(Failure) as found:
        lease.require(cloud.context.store, token)
    assert found.value.code == ExitCode.LOCKED
    assert found.value.evidence[0] == "held by bob, deploying c0ffee"


def test_of_ten_who_come_at_once_one_gets_it(cloud: Cloud, calendar: Calendar) -> None:
    won: list[str] = []

    def run(name: str) -> None:
        with suppress(Failure):
            won.append(take(holder(cloud, calendar), owner=name).owner)

    threads = [threading.Thread(target=run, args=(f"n{number}",)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lease.current(cloud.context.store)
    assert found is not None
    assert won == [found[0].owner]


def test_a_lease_that_s3_wrote_without_saying_so_is_ours(cloud: Cloud, calendar: Calendar) -> None:
    one = LeaseClient(Lossy(cloud.environment), lambda: calendar.now, calendar.sleep)
    assert take(one).owner == "ann"
    assert one.renew()


def test_a_renewal_that_s3_wrote_without_saying_so_counts_and_is_given_back(cloud: Cloud, calendar: Calendar) -> None:
    store = Lossy(cloud.environment)
    one = LeaseClient(store, lambda: calendar.now, calendar.sleep)
    take(one)
    for _ in range(2):
        calendar.sleep(LASTS - 1)
        store.loses = 1
        assert one.renew()
        found = lease.current(store)
        assert found is not None
        assert found[0] == one.lease
        assert not found[0].expired(calendar.now + timedelta(seconds=LASTS - 1))
    renewed = store.read(lease.KEY)
    assert renewed is not None
    store.write(lease.KEY, {**renewed.to(dict), "beat": "later"})  # a renewal whose answer never came
    one.give_back()
    assert lease.current(store) is None


def test_a_document_that_is_no_lease_holds_nobody_up(cloud: Cloud, calendar: Calendar) -> None:
    cloud.context.store.write(lease.KEY, {"some": "thing"})
    assert take(holder(cloud, calendar)).owner == "ann"


@pytest.fixture
def playbook() -> Iterator[subprocess.Popen[bytes]]:
    """A process that may be killed in a playbook's place."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


@pytest.fixture
def store(cloud: Cloud) -> Store:
    """The bucket that a heartbeat finds by the environment's name."""
    environment = environments.load("staging")
    place = {"LocationConstraint": environment.region}
    client = environment.client("s3")
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):  # by another test
        client.create_bucket(Bucket=environment.bucket, CreateBucketConfiguration=place)
    return Store(environment)


def test_a_playbook_that_is_killed_leaves_no_lease(store: Store, playbook: subprocess.Popen[bytes]) -> None:
    request = heartbeat.LeaseRequest("staging", "ann", "c0ffee", "", 0.0, playbook.pid)
    held = heartbeat.start(request, lambda _: None, lambda: None)
    lease.require(store, held.token)
    with pytest.raises(Failure) as found:
        heartbeat.start(request, lambda _: None, lambda: None)
    assert found.value.code == ExitCode.LOCKED
    clock = Clock()
    clock.interrupted = True
    with pytest.raises(Interrupted):
        heartbeat.start(msgspec.structs.replace(request, timeout=60.0), lambda _: None, clock.check)
    playbook.kill()
    playbook.wait()
    eventually(lambda: lease.current(store) is None, "the lease is given back", 15.0)
    for child in heartbeat._started:
        child.wait(15.0)


@pytest.mark.parametrize("alive", [True, False])
def test_a_lease_is_kept_by_the_process_that_has_loaded_beside_ansible_while_that_lives(
    alive: bool, store: Store, playbook: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_beside", [])
    monkeypatch.setattr(process, "_children", [])
    process.start_beside()
    ((child,), ((pid, *_),)) = (process._children, process._beside)
    if not alive:
        child.kill()
        child.wait(15.0)
    request = heartbeat.LeaseRequest("staging", "ann", "c0ffee", "", 0.0, playbook.pid)
    held = heartbeat.start(request, lambda _: None, lambda: None)
    lease.require(store, held.token)
    assert (held.pid == pid) is alive
    playbook.kill()
    playbook.wait()
    eventually(lambda: lease.current(store) is None, "the lease is given back", 15.0)
    for each in [child, *heartbeat._started]:
        each.wait(15.0)


def test_who_removes_an_environment_is_alone_there(store: Store) -> None:
    with acquire.alone(store.environment, lambda _: None):
        held = lease.current(store)
        assert held is not None
        assert held.lease.lines()[0].endswith("deploying nothing: it is being destroyed")
        with pytest.raises(Failure) as found, acquire.alone(store.environment, lambda _: None):
            pass
    assert (found.value.code, "nothing was removed" in found.value.what) == (ExitCode.LOCKED, True)
    assert lease.current(store) is None
    for child in heartbeat._started:
        child.wait(15.0)
