"""What a release is, as the bucket keeps it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from stackhand.cli.failure import Failure
from stackhand.infrastructure.actor import timestamp
from stackhand.release.verdict import Verdict


class Part(msgspec.Struct, frozen=True):
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


class Migration(msgspec.Struct, frozen=True):
    """A migration that a release knows."""

    number: int
    name: str
    breaking: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """A release.

    Args:
        id: sorts by time.
        environment: where.
        commit: what its images say they are.
        by: who deployed it.
        began: when.
        target: Terraform's output then, for who comes back without Terraform.
        kind: deploy or rollback.
        run: the address of the CI run.
        services: by name.
        secrets: a hash over the versions of the secrets it reads.
        migrations: it knows, in their order.
        migrated: whether they were, or may have been, applied.
        rolled: whether its services were ordered, or may have been.
        ended: when its verdict was known.
        verdict: once it is known.
        reason: why it is that.
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
    services: dict[str, Part] = {}
    secrets: str = ""
    migrations: list[Migration] = []
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
    def touched(self) -> bool:
        """Whether any service may have been ordered."""
        return self.rolled or any(each.deployment for each in self.services.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it as a document."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def but(self, **changes: Any) -> Manifest:
        """Return it with some fields changed."""
        return msgspec.structs.replace(self, **changes)

    def judged(self, verdict: Verdict, reason: str = "") -> Manifest:
        """Return it with its end."""
        return self.but(verdict=str(verdict), reason=reason, ended=timestamp())


def parse(found: dict[str, Any]) -> Manifest:
    """Return the release that a document describes.

    Raises:
        Failure: it was not written by us.
    """
    try:
        return msgspec.convert(found, Manifest)
    except msgspec.ValidationError as error:
        raise Failure(
            f"The release {found.get('id', '?')} in the bucket cannot be read.",
            evidence=[str(error)],
            next=f"./inv cloud.releases -e {found.get('environment', 'ENVIRONMENT')} shows the others",
        ) from error


def new_id(commit: str) -> str:
    """Return the id of a release that begins now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"[:18] + f"-{commit[:7]}"
