"""The migration before a release: a task of its own on the new task definition, whose exit code decides.

It waits for STOPPED and for nothing else: a migration that has nothing to do has stopped before anybody sees it run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import msgspec

from stackhand.aws.waiting import Interrupted
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.services import compose
from stackhand.project import inherited
from stackhand.project.stack.model import Service
from stackhand.release.context import Context
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.images import checkout, source
from stackhand.release.jobs import Migration
from stackhand.release.manifest import KnownMigration, Manifest, Releases
from stackhand.release.target import target_of
from stackhand.release.verdict import Verdict
from stackhand.system.roots import PROJECT


def migrate(context: Context, manifest: Manifest) -> dict[str, list[str]]:
    """Run the jobs and migrations of the services that are to be replaced, and return the output of each, by name.

    The bucket knows of them before they begin, and that they failed: there may be no rollback past them.

    Raises:
        Failure: one failed.
        Interrupted: we are to stop.
    """
    target, rotated = target_of(manifest), context.releases.rotated(manifest.secrets)
    definitions = manifest.jobs | {
        name: manifest.services[name].task_definition
        for name, each in target.services.items()
        if each.migrate and (rotated or not manifest.services[name].same)
    }
    output: dict[str, list[str]] = {}
    if definitions:
        context.require_lease()
        context.releases.write(manifest.but(migrated=True))
    for name, definition in definitions.items():
        timeout = target.jobs[name].timeout if name in target.jobs else target.services[name].migrate_timeout
        task = Migration(
            Cluster(context.ecs, target.cluster),
            context.cloudwatch,
            target,
            name,
            context.clock,
            lambda text, name=name: context.count(f"migration of {name}: {text}"),  # type: ignore[misc]
            poll=min(context.pace.poll, 1.0),
            timeout=timeout or context.pace.migration,
            starts_within=context.pace.timeout,
        )
        try:
            context.require_lease()
            output[name] = task.run(definition, f"release-{manifest.id}")
        except (Failure, Interrupted) as error:
            reason = error.what if isinstance(error, Failure) else f"interrupted before the migration of {name}"
            with suppress(Failure):  # what is to be output is the migration's
                failed = manifest.but(migrated=bool(output) or task.started)
                context.releases.write(failed.judged(Verdict.FAILED, reason))
            raise
    return output


def require_rollback_path(releases: Releases, good: Manifest, newest: Manifest | None = None) -> None:
    """Refuse to go back to a release that does not work with the current schema, or that of one not listed yet.

    Raises:
        Failure: a migration since then is marked as breaking.
    """
    known = {each.number for each in good.migrations}
    for release in _since(releases, good, newest):
        for each in release.migrations:
            if each.breaking and each.number not in known:
                raise Failure(
                    f"{good.commit[:12]} no longer works with the database.",
                    evidence=[f"{each.name} of the release {release.id} is marked `-- migrate: breaking`"],
                    next="fix the newer code and deploy it; the old code needs a restored database",
                    code=ExitCode.DEPLOY_FAILED,
                )


def _since(releases: Releases, good: Manifest, newest: Manifest | None) -> Iterable[Manifest]:
    if newest:
        yield newest
    for each in releases.newest_first():
        if each.id <= good.id:
            return
        if each.migrated:
            yield each


WITHIN = 60.0


class _Error(msgspec.Struct):
    what: str


class _Listed(msgspec.Struct):
    """What the command prints: the migrations on stdout, or why there are none to list on stderr."""

    migrations: list[KnownMigration] | None = None
    error: _Error | None = None


def of_checkout() -> list[KnownMigration] | None:
    """Return the migrations of this checkout; None when no command lists them.

    Raises:
        Failure: the command reports that they are not in order.
    """
    return _known(lambda _: nullcontext(PROJECT))


def of_commit(commit: str) -> list[KnownMigration] | None:
    """Return the migrations of a commit, which need not be the one that is checked out; None as `of_checkout`.

    Raises:
        Failure: the commit is not in this clone, or its migrations are not in order.
    """
    return _known(lambda service: files_of(commit, service.build.sources if service.build else "."))


def _known(files: Callable[[Service], AbstractContextManager[Path]]) -> list[KnownMigration] | None:
    """Return what the commands of all services list in the folders that they are given."""
    lists = []
    for service in compose.stack_of(PROJECT).services.values():
        if service.migration("list"):
            with files(service) as folder:
                lists.append(_list(service, folder))
    if not lists or None in lists:
        return None
    return [each for migrations in lists for each in migrations or []]


def _list(service: Service, folder: Path) -> list[KnownMigration] | None:
    """Run the command in a folder; None when it prints something else than we know."""
    command = service.migration("list")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=inherited.environment("service", PATH=path, PYTHONDONTWRITEBYTECODE="1"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    reported = []
    for text in (done.stdout, done.stderr):
        with suppress(msgspec.MsgspecError):
            reported.append(msgspec.json.decode(text, type=_Listed))
    if error := next((each.error for each in reported if each.error), None):
        raise Failure("The migrations are invalid.", evidence=[error.what], next="./inv db.plan")
    return next((each.migrations for each in reported if done.returncode == 0), None)


@contextmanager
def files_of(commit: str, place: str) -> Iterator[Path]:
    """Give a folder that has a place of a commit at its path, as the checkout has it.

    Raises:
        Failure: the commit is not in this clone, so nobody knows what it has there.
    """
    wanted = source.clean(commit)
    try:
        here = checkout.run("rev-parse", "HEAD", folder=PROJECT).strip() == wanted
    except checkout.NoGit:
        here = True
    # Of images that nobody knows the commit of, and without git, this folder is all there is.
    here = here or not source.COMMIT.fullmatch(commit)
    if here or not (PROJECT / place).is_dir():
        yield PROJECT
        return
    if not checkout.succeeds("cat-file", "-e", f"{wanted}^{{commit}}", folder=PROJECT):
        raise Failure(
            f"{wanted[:12]} is not in this clone, so its migrations are unknown.",
            evidence=["they decide whether a rollback to or from it is possible"],
            next="git fetch, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    with checkout.exported(PROJECT, wanted, [place], dirty=False) as folder:
        yield folder
