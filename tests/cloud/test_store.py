"""The bucket of an environment, while S3 is busy or its answers are lost."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from stackhand.aws.waiting import Retry
from stackhand.cli.failure import Failure
from stackhand.infrastructure.snapshots.restore import UnfinishedRestore
from stackhand.infrastructure.store import Conflict, Document, Store
from stackhand.release.images.provenance import BuiltImages
from stackhand.release.lease import Lease
from stackhand.release.manifest import Manifest
from tests.cloud.conftest import Cloud

BUSY = ClientError({"Error": {"Code": "SlowDown", "Message": "Please reduce your request rate."}}, "PutObject")


def troubled(
    cloud: Cloud, operation: str, errors: list[Exception], *, lost: bool = False, timeout: float = 60.0
) -> Store:
    """Return a bucket of which an operation fails some times, after it was done where its answers are `lost`."""
    store = Store(cloud.environment, Retry(timeout, cloud.clock.sleep, cloud.said.append, cloud.clock.now))
    real = getattr(store.s3, operation)

    def call(*given: Any, **words: Any) -> Any:
        answer = real(*given, **words) if lost or not errors else None
        if errors:
            raise errors.pop(0)
        return answer

    setattr(store.s3, operation, call)
    return store


def test_a_busy_bucket_is_read_and_written_as_soon_as_it_answers(cloud: Cloud) -> None:
    for operation in ("put_object", "get_object", "get_paginator"):
        store = troubled(cloud, operation, [BUSY, ReadTimeoutError(endpoint_url="s3")])
        store.write("some.json", {"a": 1})
        found = store.read("some.json")
        assert found is not None
        assert (found.to(dict), store.keys("some")) == ({"a": 1}, ["some.json"])


def test_a_document_is_ours_although_the_answer_was_lost(cloud: Cloud) -> None:
    store = troubled(cloud, "put_object", [BUSY], lost=True)
    etag = store.write("lease.json", {"token": "ours"}, new=True)
    with pytest.raises(Conflict):
        store.write("lease.json", {"token": "theirs"}, new=True)
    assert store.write("lease.json", {"token": "ours again"}, etag=etag) != etag


def test_a_bucket_is_given_up_after_the_timeout_or_an_interrupt(cloud: Cloud) -> None:
    store = troubled(cloud, "put_object", [BUSY] * 100)
    began = cloud.clock.now()
    with pytest.raises(Failure, match="cannot be used"):
        store.write("some.json", {})
    assert 30.0 < cloud.clock.now() - began <= 60.0
    cloud.clock.interrupt_when = lambda: True
    with pytest.raises(Failure, match="cannot be used"):
        store.write("some.json", {})


@pytest.mark.parametrize("kind", [Manifest, BuiltImages, UnfinishedRestore, Lease])
@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"{}", b'{"id": 1, "commit": 1, "snapshots": 1, "token": 1}'])
def test_a_document_that_is_not_ours_is_named_in_a_failure(kind: type, body: bytes) -> None:
    with pytest.raises(Failure) as found:
        Document("s3://shop/some.json", body, "1").to(kind)
    assert "s3://shop/some.json" in found.value.what
    assert found.value.next.startswith("aws s3 cp s3://shop/some.json - ")


def test_a_document_of_a_newer_version_may_have_more_fields() -> None:
    body = b'{"commit": "c0ffee", "images": {}, "signature": "new"}'
    assert Document("s3://shop/some.json", body, "1").to(BuiltImages).commit == "c0ffee"
