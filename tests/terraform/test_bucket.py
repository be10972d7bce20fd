"""The bucket that everything of an environment begins with, in an AWS inside this process."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto import mock_aws

from stackhand.cli.failure import Failure
from stackhand.infrastructure import account, bucket
from stackhand.project.environments import Environment

STAGING = Environment("staging", "shop", "eu-west-1", "123456789012")


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield


def test_it_is_versioned_encrypted_and_closed(caplog: pytest.LogCaptureFixture) -> None:
    assert len(bucket.make(STAGING)) == 6
    client = STAGING.client("s3")
    name = {"Bucket": "shop-staging-123456789012-eu-west-1"}
    assert client.get_bucket_location(**name)["LocationConstraint"] == "eu-west-1"
    assert client.get_bucket_versioning(**name)["Status"] == "Enabled"
    assert set(client.get_public_access_block(**name)["PublicAccessBlockConfiguration"].values()) == {True}
    rule = client.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    statement = json.loads(client.get_bucket_policy(**name)["Policy"])["Statement"][0]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert client.get_bucket_lifecycle_configuration(**name)["Rules"][0]["NoncurrentVersionExpiration"]


def test_a_second_time_changes_nothing() -> None:
    bucket.make(STAGING)
    assert bucket.make(STAGING) == []


def test_what_somebody_has_changed_is_fixed() -> None:
    bucket.make(STAGING)
    STAGING.client("s3").delete_public_access_block(Bucket=STAGING.bucket)
    assert bucket.make(STAGING) == ["public access is blocked"]


def test_one_that_forgets_versions_is_refused_and_left_as_it_is() -> None:
    client = STAGING.client("s3")
    client.create_bucket(Bucket=STAGING.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(Failure, match="but is not versioned"):
        bucket.make(STAGING)
    assert "Status" not in client.get_bucket_versioning(Bucket=STAGING.bucket)


def test_without_it_nothing_goes_on() -> None:
    with pytest.raises(Failure, match="has no bucket for its state yet") as caught:
        bucket.require(STAGING)
    assert caught.value.next == "./inv bootstrap -e staging"


def test_only_the_account_of_the_environment_will_do() -> None:
    assert account.check(STAGING).startswith("arn:aws:sts::123456789012:")
    with pytest.raises(Failure, match="You are logged in to account 123456789012, but staging belongs to 999999999999"):
        account.check(Environment("staging", "shop", "eu-west-1", "999999999999"))
