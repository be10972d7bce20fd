"""The migrations that a commit has, from the project's own command, and whether an earlier release works with them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.services import compose
from stackhand.project import inherited
from stackhand.project.stack.model import Service
from stackhand.release.images import checkout, source
from stackhand.release.manifest import KnownMigration, Manifest, Releases
from stackhand.system.roots import PROJECT

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
        with suppress(ValueError):
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
