"""Documents in the bucket of an environment, each written as a whole or not at all."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import msgspec

from stackhand import redaction
from stackhand.aws.diagnosis import Kind
from stackhand.aws.errors import code_of, diagnose, failure
from stackhand.aws.waiting import ONCE, Retry
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.project.environments import Environment

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
        except ValueError as error:
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
            named = {"Bucket": self.bucket, "Key": key, "ContentType": "application/json"}
            return str(self.retry(lambda: self.s3.put_object(**named, Body=body, **condition))["ETag"])
        except Exception as error:
            if not condition or code_of(error) not in CONFLICT | MISSING or code_of(error) == "NoSuchBucket":
                raise self._unreadable(error) from error
            current = self.read(key)  # S3 may have taken an earlier attempt whose answer was lost
            if current and current.body == body:
                return current.etag
            raise Conflict(key) from error

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
