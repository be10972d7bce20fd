"""What a release is, as the bucket keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.account import owner, timestamp
from stackhand.infrastructure.store import Store
from stackhand.release.verdict import Verdict


class ReleasedService(msgspec.Struct, frozen=True):
    """One service of a release.

    Args:
        task_definition: the ARN.
        image: that its container runs, by digest where we built it.
        same: whether it ran so before already.
        previous: the task definition before.
        deployment: the id that UpdateService returned.
        before: the deployments then, as id and task definition.
        ordered: when UpdateService returned, by the calendar.
        sbom: the digest of the image's bill of materials, where a deploy recorded one.
    """

    task_definition: str
    image: str
    same: bool = False
    previous: str = ""
    deployment: str = ""
    before: list[tuple[str, str]] = []
    ordered: str = ""
    sbom: str = ""


class ScheduledJob(msgspec.Struct, frozen=True):
    """A job of a release that a schedule starts.

    Args:
        task_definition: the ARN.
        same: whether the schedule starts it already.
        previous: what the schedule was set to before; without a revision where no release had set it.
        updated: whether this release has changed the schedule.
    """

    task_definition: str
    same: bool = False
    previous: str = ""
    updated: bool = False


class KnownMigration(msgspec.Struct, frozen=True):
    """A migration that a release knows."""

    number: int
    name: str
    breaking: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """A release.

    Args:
        id: sorts by time.
        commit: what its images say they are.
        target: Terraform's output then, for who comes back without Terraform.
        kind: deploy or rollback.
        jobs: the task definitions of the jobs that run before its services, by name.
        scheduled: the jobs that schedules start.
        secrets: a hash over the versions of the secrets it reads.
        migrations: it knows, in their order.
        migrated: whether they were, or may have been, applied.
        rolled: whether its services were ordered, or may have been.
        of: the release a rollback returns to.
        extra: services of the cluster that what runs since then does not have, and the task definition each is left on.
        name: what else its images are called, by `--tag`.
    """

    id: str
    environment: str
    commit: str
    by: str
    began: str
    target: dict[str, Any] = {}
    kind: str = "deploy"
    run: str = ""
    services: dict[str, ReleasedService] = {}
    jobs: dict[str, str] = {}
    scheduled: dict[str, ScheduledJob] = {}
    secrets: str = ""
    migrations: list[KnownMigration] = []
    migrated: bool = False
    rolled: bool = False
    ended: str = ""
    verdict: str = ""
    reason: str = ""
    of: str = ""
    extra: dict[str, str] = {}
    name: str = ""

    @property
    def good(self) -> bool:
        """Whether one may return to it."""
        return self.verdict == Verdict.DEPLOYED

    @property
    def open(self) -> bool:
        """Whether its services may still be on their way."""
        return self.verdict in {"", Verdict.STILL_ROLLING}

    @property
    def ordered(self) -> bool:
        """Whether any service is known to have been ordered."""
        return any(each.deployment for each in self.services.values())

    @property
    def touched(self) -> bool:
        """Whether any service may have been ordered."""
        return self.rolled or self.ordered

    def but(self, **changes: Any) -> Manifest:
        """Return it with some fields changed."""
        return msgspec.structs.replace(self, **changes)

    def judged(self, verdict: Verdict, reason: str = "") -> Manifest:
        """Return it with its end."""
        return self.but(verdict=str(verdict), reason=reason, ended=timestamp())


def new_id(commit: str) -> str:
    """Return the id of a release that begins now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"[:18] + f"-{commit[:7]}"


FOLDER = "releases/"
CURRENT = "current.json"
DESTROYED = "-destroyed.json"
"""The end of the key that stands between the releases of an environment and those after it was destroyed."""


class Releases:
    """The releases of an environment."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, manifest: Manifest) -> None:
        """Keep a release as it is by now."""
        self.store.write(f"{FOLDER}{manifest.id}.json", manifest)

    def current(self) -> Manifest | None:
        """Return the last known good release."""
        document = self.store.read(CURRENT)
        return document.to(Manifest) if document else None

    def rotated(self, secrets: str) -> bool:
        """Whether secrets with this hash have other versions than those of the last known good release."""
        good = self.current()
        return good is not None and good.secrets != secrets

    def make_current(self, manifest: Manifest) -> None:
        """Keep a release, and from now on return to it.

        `current.json` goes first, and what it says counts: one cannot return to a release that is good by its own entry
        only. The entry may fail; it is read from there as long as it is the current one, and written before the next.
        """
        before = self.current()
        if before is not None:
            self.write(before)
        self.store.write(CURRENT, manifest)
        with suppress(Failure):
            self.write(manifest)

    def forget(self) -> None:
        """Return to none of them any more, for what they need is gone; they stay in the history."""
        if not self._keys():
            return
        if (current := self.current()) is not None:
            self.write(current)
        self.store.write(f"{FOLDER}{new_id('').rstrip('-')}{DESTROYED}", {"at": timestamp(), "by": owner()})
        if (document := self.store.read(CURRENT)) is not None:
            self.store.remove(CURRENT, etag=document.etag)

    def newest_first(self, *, ever: bool = False) -> Iterator[Manifest]:
        """Yield the releases, the newest first.

        Args:
            ever: also those from before the environment was destroyed, to which nobody can return.
        """
        keys = self._keys()
        current = self.current() if keys else None
        for key in reversed(keys):
            if key.endswith(DESTROYED):
                if not ever:
                    return
            elif current is not None and key == f"{FOLDER}{current.id}.json":
                yield current
            elif document := self.store.read(key):
                yield document.to(Manifest)

    def _keys(self) -> list[str]:
        """Return the keys of the releases; those of images are in a folder of their own."""
        return [key for key in self.store.keys(FOLDER) if "/" not in key.removeprefix(FOLDER)]

    def named(self, name: str) -> Manifest:
        """Return the newest release of an id, of a name, or of a commit that begins so; a good one before others.

        Raises:
            Failure: there is none.
        """
        known = [*self.newest_first()] if name else []
        kinds = (
            [each for each in known if each.id == name],
            [each for each in known if each.name == name],
            [each for each in known if each.commit.startswith(name)],
        )
        matching: list[Manifest] = next(filter(None, kinds), [])
        good = [each for each in matching if each.good] or matching
        if not good:
            raise Failure(
                f"There is no release {name!r}.",
                next=f"./inv cloud.releases -e {self.store.environment.name}",
                code=ExitCode.USAGE,
            )
        return good[0]
