"""A release before anything of it runs: its task definitions, its secrets' versions, its migrations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from stackhand import ROOT
from stackhand.aws import parameters
from stackhand.aws.errors import failure
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import actor
from stackhand.release import built, git, snapshots, source, taskdefinition, tree
from stackhand.release import manifest as manifests
from stackhand.release.context import Context
from stackhand.release.manifest import Manifest, Migration, Part
from stackhand.release.target import Target
from stackhand.release.verdict import COMPLETED


def prepare(context: Context, target: Target, digests: Mapping[str, str], commit: str, migrations: Path) -> Manifest:
    """Return the release of some images, with its task definitions registered where they differ from what runs.

    Raises:
        Failure: AWS refuses one.
    """
    running = snapshots.describe(context.ecs, target.cluster, [each.service for each in target.services.values()])
    parts, bills = {}, built.bills(context.store, commit)
    for name, service in target.services.items():
        wanted = taskdefinition.render(name, service, digests)
        part = _part(context, running.get(service.service, {}), wanted, service.container)
        parts[name] = msgspec.structs.replace(part, sbom=bills.get(name, ""))
    return Manifest(
        id=manifests.new_id(commit),
        environment=context.environment.name,
        commit=commit,
        by=actor.owner(),
        run=actor.run_url(),
        began=actor.timestamp(),
        target=_builtins(target),
        services=parts,
        secrets=secrets_of(context, target),
        migrations=migrations_of(migrations),
    )


def secrets_of(context: Context, target: Target) -> str:
    """Return a hash over the versions of the secrets that the services read: it changes when one is rotated."""
    names = [*target.parameters()]
    if not names:
        return ""
    versions = parameters.versions(context.environment.client("ssm"), names)
    return hashlib.sha256(json.dumps(versions, sort_keys=True).encode()).hexdigest()[:16]


def migrations_of(folder: Path) -> list[Migration]:
    """Return the migrations in a folder; none when there is no such folder.

    Raises:
        Failure: a file is not as it has to be.
    """
    if not folder.is_dir():
        return []
    from service import migration_files

    try:
        found = migration_files.read(folder)
    except migration_files.MigrationError as error:
        raise Failure("The migrations are not in order.", evidence=[str(error)], next="./inv db.plan") from error
    return [Migration(each.number, each.name, each.breaking) for each in found]


@contextmanager
def files_of(commit: str, place: str) -> Iterator[Path]:
    """Give a folder of a commit, which need not be the one that is checked out.

    Raises:
        Failure: the commit is not in this clone, so nobody knows what it has there.
    """
    wanted = source.clean(commit)
    try:
        here = git.run("rev-parse", "HEAD", folder=ROOT).strip() == wanted
    except git.NoGit:
        here = True
    # Of images that nobody knows the commit of, and without git, this folder is all there is.
    here = here or not source.COMMIT.fullmatch(commit)
    if here or not (ROOT / place).is_dir():
        yield ROOT / place
        return
    if not git.succeeds("cat-file", "-e", f"{wanted}^{{commit}}", folder=ROOT):
        raise Failure(
            f"{wanted[:12]} is not in this clone, so its migrations are not known.",
            evidence=["they decide whether anybody may go back to it, or from it"],
            next="git fetch, and repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    with tree.exported(ROOT, wanted, [place], dirty=False) as folder:
        yield folder / place


def _part(context: Context, service: Mapping[str, Any], wanted: dict[str, Any], container: str) -> Part:
    primary = snapshots.snapshot(service, 0).primary
    image = taskdefinition.image_of(wanted, container)
    old = primary.task_definition if primary else ""
    if primary and not taskdefinition.differences(running(context.ecs, old), wanted):
        return Part(old, image, same=primary.rollout == COMPLETED, previous=old)
    try:
        answer = context.retry(lambda: context.ecs.register_task_definition(**wanted))
    except Exception as error:
        context.clock.check()  # an interrupt ends the retries
        raise failure(f"The task definition {wanted.get('family')} cannot be registered", error) from error
    return Part(str(answer["taskDefinition"]["taskDefinitionArn"]), image, previous=old)


def running(ecs: Any, arn: str) -> dict[str, Any]:
    """Return a task definition as ECS has it."""
    found: dict[str, Any] = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    return found


def _builtins(target: Target) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(target)
    return found
