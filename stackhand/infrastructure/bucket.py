"""The bucket of an environment: Terraform's state, the lease, the releases. Ours to make: Terraform needs it first."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from stackhand import redaction
from stackhand.aws import errors
from stackhand.aws.diagnosis import Kind
from stackhand.aws.errors import code_of, diagnose, failure
from stackhand.aws.waiting import ONCE, Retry
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.project.environments import Environment

KEPT_VERSIONS_DAYS = 90
NOT_THERE = 404
KEEP_VERSIONS = "aws s3api put-bucket-versioning --versioning-configuration Status=Enabled --bucket"
BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}]}


def require(environment: Environment) -> None:
    """Refuse to go on without the bucket.

    Raises:
        Failure: it is not there, or not ours, or forgets versions.
    """
    if not exists(environment):
        raise Failure(
            f"{environment.name} has no bucket for its state yet: {environment.bucket}.",
            next=f"./inv bootstrap -e {environment.name}",
            code=ExitCode.PREFLIGHT,
        )


def make(environment: Environment) -> list[str]:
    """Have the bucket as it has to be; return what was done, in words: nothing the second time.

    Raises:
        Failure: somebody else has a bucket of that name, or it is there and was never versioned.
    """
    name, done = environment.bucket, []
    client = environment.client("s3")
    if exists(environment):
        with errors.as_failure(f"The bucket {name} cannot be inspected"):
            versioning = client.get_bucket_versioning(Bucket=name).get("Status")
        if versioning != "Enabled":
            raise _unversioned(environment)
    else:
        done = _create(environment, client)
    with errors.as_failure(f"The bucket {name} cannot be inspected", ExitCode.FAILED if done else None):
        lacking = list(_lacking(client, name))
    with errors.as_failure(f"The bucket {name} exists, but some of its settings are missing", ExitCode.FAILED):
        for setting, apply in lacking:
            apply()
            done.append(setting)
    return done


def _create(environment: Environment, client: Any) -> list[str]:
    name = environment.bucket
    place = {"CreateBucketConfiguration": {"LocationConstraint": environment.region}}
    with errors.as_failure(f"The bucket {name} cannot be created"):
        client.create_bucket(Bucket=name, **({} if environment.region == "us-east-1" else place))
    # The next bootstrap would take a bucket that was never versioned for somebody else's.
    repeat = f"{KEEP_VERSIONS} {name} && ./inv bootstrap -e {environment.name}"
    with errors.as_failure(f"The bucket {name} exists, but is not versioned yet", ExitCode.FAILED, repeat=repeat):
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return [f"bucket {name} in {environment.region}", "every version of an object is kept"]


def _lacking(client: Any, bucket: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield each setting that the bucket lacks: its description, and the call that applies it."""
    named = {"Bucket": bucket}
    if _ask(client.get_public_access_block, "PublicAccessBlockConfiguration", bucket) != BLOCKED:
        block = partial(client.put_public_access_block, **named, PublicAccessBlockConfiguration=BLOCKED)
        yield "public access is blocked", block
    rules = (_ask(client.get_bucket_encryption, "ServerSideEncryptionConfiguration", bucket) or {}).get("Rules", [])
    if not any(each.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") == "aws:kms" for each in rules):
        encrypt = partial(client.put_bucket_encryption, **named, ServerSideEncryptionConfiguration=ENCRYPTION)
        yield "encrypted with a KMS key", encrypt
    policy = _policy(bucket)
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http:")  # an emulator, which the policy would lock out
    if not plain and json.loads(_ask(client.get_bucket_policy, "Policy", bucket) or "null") != policy:
        yield "TLS only", partial(client.put_bucket_policy, **named, Policy=json.dumps(policy))
    if not _ask(client.get_bucket_lifecycle_configuration, "Rules", bucket):
        rules = {"Rules": [_lifecycle()]}
        limit = partial(client.put_bucket_lifecycle_configuration, **named, LifecycleConfiguration=rules)
        yield f"earlier versions are deleted after {KEPT_VERSIONS_DAYS} days", limit


def exists(environment: Environment) -> bool:
    """Return whether the bucket is there.

    Raises:
        Failure: it is, and is somebody else's.
    """
    from stackhand.aws.exceptions import BotoCoreError, ClientError

    try:
        environment.client("s3").head_bucket(Bucket=environment.bucket, ExpectedBucketOwner=environment.account)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == NOT_THERE:
            return False
        diagnosis = errors.diagnose(error)
        if diagnosis.kind is not Kind.DENIED:
            raise errors.failure(f"The bucket {environment.bucket} cannot be inspected", error) from error
        raise Failure(
            f"The bucket {environment.bucket} is not accessible to you (S3 answers {status}).",
            evidence=["somebody else owns a bucket of that name, or your role has no permission (s3:ListBucket)"],
            next=f"{diagnosis.remedy}; else change stack in environments/{environment.name}.tfvars",
            code=ExitCode.PREFLIGHT,
        ) from error
    except BotoCoreError as error:
        raise errors.failure(f"The bucket {environment.bucket} cannot be inspected", error) from error
    return True


def _ask(call: Any, key: str, bucket: str) -> Any:
    """Return a setting of the bucket; None when it was never set."""
    from stackhand.aws.exceptions import ClientError

    try:
        return call(Bucket=bucket)[key]
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith(("NoSuch", "ServerSideEncryptionConfigurationNotFound")):
            raise
        return None


def _policy(bucket: str) -> dict[str, Any]:
    statement = {
        "Sid": "NothingInTheClear",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _lifecycle() -> dict[str, Any]:
    return {
        "ID": "earlier-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": KEPT_VERSIONS_DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }


def _unversioned(environment: Environment) -> Failure:
    return Failure(
        f"The bucket {environment.bucket} already exists, but is not versioned.",
        evidence=["a state overwritten by mistake could not be restored", "Stackhand did not create it"],
        next=f"to use it anyway: {KEEP_VERSIONS} {environment.bucket}",
        code=ExitCode.PREFLIGHT,
    )


MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
CONFLICT = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})

EXACT = timedelta(seconds=2)
"""What a header that tells whole seconds, and the way it takes, cannot tell from nothing."""


Content = TypeVar("Content")


class Conflict(Exception):  # noqa: N818 - it is the very answer of a conditional write
    """Somebody else has written, or removed, the document meanwhile."""


@dataclass(frozen=True)
class Document:
    """A document of the bucket.

    Args:
        address: `s3://BUCKET/KEY`.
        body: its JSON.
        etag: the version that was read.
    """

    address: str
    body: bytes
    etag: str

    def to(self, kind: type[Content]) -> Content:
        """Return it as a type; fields that the type does not know are ignored.

        Raises:
            Failure: something else wrote it.
        """
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Failure(
                f"{self.address} has an unknown format.",
                evidence=[str(error), "a newer version or another program may have written it"],
                next=f"aws s3 cp {self.address} - shows it; update Stackhand, or restore the version before",
            ) from error


class Store:
    """Documents in the bucket of one environment.

    Args:
        retry: how long to go on while S3 is busy.
    """

    def __init__(self, environment: Environment, retry: Retry = ONCE) -> None:
        self.environment, self.retry = environment, retry
        self.bucket = environment.bucket
        self.s3 = environment.client("s3")
        self.s3.meta.events.register("after-call.s3", self._note_time)
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the time by S3's clock, which all who share the bucket have in common."""
        return datetime.now(UTC) + self._ahead

    def _note_time(self, http_response: Any, **_: Any) -> None:
        with suppress(TypeError, ValueError):  # an emulator may not tell it
            date = parsedate_to_datetime(http_response.headers.get("date"))
            ahead = date - datetime.now(UTC)
            self._ahead = ahead if abs(ahead) > EXACT else timedelta()

    def read(self, key: str) -> Document | None:
        """Return a document; none when there is none.

        Raises:
            Failure: the bucket cannot be read.
        """
        try:
            return self.retry(lambda: self._get(key))
        except Exception as error:
            if code_of(error) in MISSING:
                return None
            raise self._unreadable(error) from error

    def _get(self, key: str) -> Document:
        answer = self.s3.get_object(Bucket=self.bucket, Key=key)
        return Document(f"s3://{self.bucket}/{key}", answer["Body"].read(), str(answer["ETag"]))

    def write(self, key: str, content: object, *, etag: str | None = None, new: bool = False) -> str:
        """Write a document, and return its version.

        Args:
            key: where.
            content: a struct, or the fields of a document.
            etag: only in the place of this version.
            new: only when there is none.

        Raises:
            Conflict: it is not as it was to be.
            Failure: the bucket cannot be written.
        """
        condition = {"IfNoneMatch": "*"} if new else {"IfMatch": etag} if etag else {}
        content = redaction.current().data(msgspec.to_builtins(content), names=False)  # its readers go by the rest
        body = json.dumps(content, indent=2, sort_keys=True).encode()
        try:
            put = partial(self.s3.put_object, Bucket=self.bucket, Key=key, Body=body, ContentType="application/json")
            return str(self.retry(lambda: put(**condition))["ETag"])
        except Exception as error:
            if not condition or code_of(error) not in CONFLICT | MISSING or code_of(error) == "NoSuchBucket":
                raise self._unreadable(error) from error
            conflict = Conflict(key)
            conflict.__cause__ = error
        current = self.read(key)  # S3 may have taken an earlier attempt whose answer was lost
        if current and current.body == body:
            return current.etag
        raise conflict

    def remove(self, key: str, *, etag: str) -> None:
        """Remove a document.

        Raises:
            Conflict: it is not the version we know.
            Failure: the bucket cannot be written.
        """
        try:
            self.retry(lambda: self.s3.delete_object(Bucket=self.bucket, Key=key, IfMatch=etag))
        except Exception as error:
            if code_of(error) in CONFLICT | MISSING:
                raise Conflict(key) from error
            raise self._unreadable(error) from error

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin so, in order."""
        try:
            return self.retry(lambda: self._list(prefix))
        except Exception as error:
            raise self._unreadable(error) from error

    def _list(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(each["Key"] for page in pages for each in page.get("Contents", []))

    def _unreadable(self, error: Exception) -> Failure:
        name = self.environment.name
        if code_of(error) == "NoSuchBucket":
            return Failure(
                f"{name} has no bucket {self.bucket} yet.",
                next=f"./inv bootstrap -e {name}",
                code=ExitCode.PREFLIGHT,
            )
        if diagnose(error).kind is Kind.DENIED:
            account.check(self.environment)  # for a verb that only reads, the first to notice another account
        return failure(f"The bucket {self.bucket} cannot be used", error)
