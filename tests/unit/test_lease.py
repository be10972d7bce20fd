"""The rules of the lease on a bucket in memory; tests/cloud/test_lease.py has them on a server that speaks S3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.store import Conflict, Document, Store
from stackhand.release import lease
from stackhand.release.lease import KEY, LASTS, POLL, Lease, LeaseClient

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Bucket:
    """Documents under versions, with a calendar that moves when somebody waits."""

    def __init__(self) -> None:
        self.environment = SimpleNamespace(name="staging")
        self.time = BEGIN
        self.version = 0
        self.body: bytes | None = None
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None
        self.on_remove: Callable[[], None] = lambda: None

    @property
    def etag(self) -> str:
        return f"v{self.version}"

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)
        self.on_sleep()

    def read(self, key: str) -> Document | None:
        assert key == KEY
        return Document("s3://bucket/lease.json", self.body, self.etag) if self.body is not None else None

    def write(self, key: str, content: Mapping[str, Any], *, etag: str | None = None, new: bool = False) -> str:
        assert key == KEY
        assert new is (etag is None)
        if (self.body is not None) if new else (self.body is None or etag != self.etag):
            raise Conflict(key)
        self.put(msgspec.json.encode(content))
        return self.etag

    def put(self, body: bytes) -> None:
        self.body = body
        self.version += 1

    def remove(self, key: str, *, etag: str) -> None:
        assert key == KEY
        self.on_remove()
        if self.body is None or etag != self.etag:
            raise Conflict(key)
        self.body = None

    def client(self) -> LeaseClient:
        return LeaseClient(cast(Store, self), sleep=self.sleep)

    @property
    def held(self) -> Lease:
        found = lease.current(cast(Store, self))
        assert found is not None
        assert found.etag == self.etag
        return found.lease


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def take(client: LeaseClient, owner: str = "ann", timeout: float = 0.0, said: list[str] | None = None) -> Lease:
    return client.take(owner, "c0ffee", "https://ci/1", timeout, (said if said is not None else []).append)


def test_a_free_lease_is_taken_with_all_that_others_need_to_know(bucket: Bucket) -> None:
    taken = take(bucket.client())
    ends = "2026-01-01T00:01:00+00:00"
    begins = "2026-01-01T00:00:00+00:00"
    assert taken == bucket.held == Lease(taken.token, "ann", "c0ffee", begins, begins, ends, "https://ci/1")
    assert len(taken.token) == 16
    assert "token" not in taken.public()
    assert taken.public()["owner"] == "ann"
    first, second, third = taken.lines()
    assert first == "held by ann, deploying c0ffee"
    assert begins in second
    assert third == "https://ci/1"
    assert len(msgspec.structs.replace(taken, run="").lines()) == 2


def test_two_clients_have_two_tokens(bucket: Bucket) -> None:
    assert take(bucket.client()).token != take(Bucket().client()).token


def test_it_expires_at_its_time_and_not_before(bucket: Bucket) -> None:
    taken = take(bucket.client())
    assert not taken.expired(BEGIN + timedelta(seconds=LASTS - 1))
    assert taken.expired(BEGIN + timedelta(seconds=LASTS))


def test_a_held_lease_is_waited_for_to_the_deadline_and_its_holder_named_once(bucket: Bucket) -> None:
    holder = take(bucket.client())
    said: list[str] = []
    with pytest.raises(Failure) as found:
        take(bucket.client(), "bob", 3.0, said)
    assert said == ["waiting for the lease: held by ann, deploying c0ffee"]
    assert bucket.slept == [POLL] * 3
    assert found.value.code == ExitCode.LOCKED
    assert "staging" in found.value.what
    assert list(found.value.evidence) == holder.lines()
    assert holder.expires in found.value.next
    assert "./inv cloud.unlock -e staging" in found.value.next


def test_the_next_holder_is_named_as_well(bucket: Bucket) -> None:
    first, other = bucket.client(), bucket.client()
    take(first)

    def hand_over() -> None:
        if other.lease is None:
            first.give_back()
            take(other, "eve")

    bucket.on_sleep = hand_over
    said: list[str] = []
    with pytest.raises(Failure):
        take(bucket.client(), "bob", 2.0, said)
    assert [line.split()[6] for line in said] == ["ann,", "eve,"]


def test_an_expired_lease_is_taken_over_and_its_old_holder_may_do_nothing_more(bucket: Bucket) -> None:
    old, new = bucket.client(), bucket.client()
    token = take(old).token
    bucket.time += timedelta(seconds=LASTS)
    assert take(new, "bob").owner == "bob"
    assert not old.renew()
    old.give_back()
    assert old.lease is None
    assert bucket.held.owner == "bob"
    lease.require(cast(Store, bucket), bucket.held.token)
    with pytest.raises(Failure) as found:
        lease.require(cast(Store, bucket), token)
    assert found.value.code == ExitCode.LOCKED
    assert list(found.value.evidence) == bucket.held.lines()
    assert found.value.next == "./inv cloud.status -e staging"


def test_a_lease_that_was_removed_is_required_in_vain(bucket: Bucket) -> None:
    with pytest.raises(Failure) as found:
        lease.require(cast(Store, bucket), "token")
    assert "cloud.unlock" in found.value.evidence[0]


def test_a_renewal_moves_only_its_times_and_can_be_repeated(bucket: Bucket) -> None:
    client = bucket.client()
    taken = take(client)
    for seconds in (15, 30):
        bucket.time = BEGIN + timedelta(seconds=seconds)
        assert client.renew()
        assert client.lease == bucket.held
        assert bucket.held == msgspec.structs.replace(
            taken,
            beat=bucket.time.isoformat(timespec="seconds"),
            expires=(bucket.time + timedelta(seconds=LASTS)).isoformat(timespec="seconds"),
        )


def test_a_write_whose_answer_was_lost_is_gone_on_from(bucket: Bucket) -> None:
    client = bucket.client()
    taken = take(client)
    bucket.put(bucket.body or b"")  # the same, under a version that we were not told
    assert client.renew()
    assert client.renew()
    bucket.put(bucket.body or b"")
    assert take(client).token == taken.token
    assert client.renew()


def test_a_renewal_is_lost_when_the_lease_is_gone(bucket: Bucket) -> None:
    client = bucket.client()
    take(client)
    bucket.body = None
    assert not client.renew()


def test_it_is_given_back_also_when_it_is_renewed_meanwhile(bucket: Bucket) -> None:
    client = bucket.client()
    take(client)
    renewals = iter([True])

    def renew() -> None:
        if next(renewals, False):
            bucket.put(bucket.body or b"")

    bucket.on_remove = renew
    client.give_back()
    assert bucket.body is None
    assert client.lease is None
    client.give_back()  # once is enough


def test_what_is_no_lease_is_overwritten_and_nobody_holds_it(bucket: Bucket) -> None:
    bucket.put(b'{"some": "thing"}')
    assert lease.current(cast(Store, bucket)) is None
    lease.give_back(cast(Store, bucket), "token")
    assert take(bucket.client()).owner == "ann"


def test_who_loses_the_race_for_a_free_lease_waits_for_who_won(bucket: Bucket) -> None:
    client, quicker = bucket.client(), bucket.client()
    times = client._times

    def overtaken() -> tuple[str, str]:
        if quicker.lease is None:
            take(quicker, "bob")
        return times()

    client._times = overtaken  # type: ignore[method-assign]
    with pytest.raises(Failure) as found:
        take(client)
    assert found.value.evidence[0].startswith("held by bob")
    assert client.lease is None
