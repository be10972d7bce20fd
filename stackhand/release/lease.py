"""The lease: the right to deploy to an environment, as a document that S3 lets only one of two writers write."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.store import Conflict, Document, Store

KEY = "lease.json"
LASTS = 60.0
"""Seconds after which a lease that nobody renewed may be taken."""
RENEWED = 15.0
POLL = 1.0


class Lease(msgspec.Struct, frozen=True):
    """Who may deploy.

    Args:
        token: known to its holder.
        commit: that is being deployed.
        beat: when it was renewed last.
        expires: when it may be taken from them.
    """

    token: str
    owner: str
    commit: str
    since: str
    beat: str
    expires: str
    run: str = ""

    def expired(self, now: datetime) -> bool:
        """Whether it may be taken."""
        return datetime.fromisoformat(self.expires) <= now

    def public(self) -> dict[str, str]:
        """Return it without the token."""
        fields: dict[str, str] = msgspec.to_builtins(self)
        return {key: value for key, value in fields.items() if key != "token"}

    def lines(self) -> list[str]:
        """Return what other people need to know of it."""
        lines = [f"held by {self.owner}, deploying {self.commit}", f"since {self.since}, last renewed {self.beat}"]
        return [*lines, self.run] if self.run else lines


class CurrentLease(NamedTuple):
    """A lease, and the version of its document."""

    lease: Lease
    etag: str


class LeaseClient:
    """Takes, renews and gives back the lease of an environment.

    Args:
        now: the calendar; S3's, for those who compete may have clocks that differ.
    """

    def __init__(
        self, store: Store, now: Callable[[], datetime] | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.store, self.now, self.sleep = store, now or store.now, sleep
        self.lease: Lease | None = None
        self._token = secrets.token_hex(8)
        self._etag = ""

    def take(self, owner: str, commit: str, run: str, timeout: float, waiting: Callable[[str], None]) -> Lease:
        """Take the lease, when it is free, expired, or given back within the timeout.

        Raises:
            Failure: somebody else has it.
        """
        deadline = self.now() + timedelta(seconds=timeout)
        reported = ""
        while True:
            document = self.store.read(KEY)
            current = _parsed(document)
            if current and self._ours(document):
                return current
            if current is None or current.expired(self.now()):
                if self._write(self._new(owner, commit, run), document.etag if document else None):
                    assert self.lease is not None  # noqa: S101 - just written
                    return self.lease
                continue
            if self.now() >= deadline:
                raise locked(current, self.store.environment.name)
            if current.token != reported:
                reported = current.token
                waiting(f"waiting for the lease: {current.lines()[0]}")
            self.sleep(POLL)

    def renew(self) -> bool:
        """Renew it; false when it is not ours any more."""
        assert self.lease is not None  # noqa: S101 - taken before
        beat, expires = self._times()
        renewed = msgspec.structs.replace(self.lease, beat=beat, expires=expires)
        return self._write(renewed, self._etag) or self._ours(self.store.read(KEY))

    def give_back(self) -> None:
        """Give it back, unless it is not ours any more."""
        if self.lease is not None:
            give_back(self.store, self._token)
            self.lease = None

    def _ours(self, document: Document | None) -> bool:
        """Whether it is ours in this version, from which we go on: S3 may have written it, and its answer was lost."""
        current = _parsed(document)
        if current is None or document is None or current.token != self._token:
            return False
        self.lease, self._etag = current, document.etag
        return True

    def _new(self, owner: str, commit: str, run: str) -> Lease:
        beat, expires = self._times()
        return Lease(self._token, owner, commit, beat, beat, expires, run)

    def _times(self) -> tuple[str, str]:
        now = self.now()
        return now.isoformat(timespec="seconds"), (now + timedelta(seconds=LASTS)).isoformat(timespec="seconds")

    def _write(self, lease: Lease, etag: str | None) -> bool:
        """Write a lease in the place of a version, or of none; false when somebody was quicker."""
        try:
            self._etag = self.store.write(KEY, lease, etag=etag, new=etag is None)
        except Conflict:
            return False
        self.lease = lease
        return True


def current(store: Store) -> CurrentLease | None:
    """Return the lease that somebody has."""
    document = store.read(KEY)
    lease = _parsed(document)
    return CurrentLease(lease, document.etag) if lease and document else None


def require(store: Store, token: str) -> None:
    """Go on only while the lease is ours: before each act that cannot be taken back.

    Raises:
        Failure: somebody has taken it from us.
    """
    lease = current(store)
    if lease is None or lease.lease.token != token:
        evidence = lease.lease.lines() if lease else ["nobody holds it: cloud.unlock removed it"]
        raise Failure(
            "This deploy lost the lease, so it stops.",
            evidence=evidence,
            next=f"./inv cloud.status -e {store.environment.name}",
            code=ExitCode.LOCKED,
        )


def give_back(store: Store, token: str) -> None:
    """Give back a lease that another process keeps, unless it is not ours any more; it may be renewed meanwhile."""
    while (lease := current(store)) and lease.lease.token == token:
        with suppress(Conflict):
            store.remove(KEY, etag=lease.etag)


def locked(current: Lease, environment: str) -> Failure:
    """Return the failure of who comes second."""
    return Failure(
        f"Another deploy to {environment} is running.",
        evidence=current.lines(),
        next=f"wait for it with --lock-wait 600; if it is dead, its lease expires at {current.expires}, "
        f"or ./inv cloud.unlock -e {environment}",
        code=ExitCode.LOCKED,
    )


def _parsed(document: Document | None) -> Lease | None:
    """Return the lease in a document; none when there is none that anybody could hold."""
    try:
        return document.to(Lease) if document else None
    except Failure:
        return None
