"""The migrations that the code of a commit has, as the command of `x-aws` that is named for it lists them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import compose
from stackhand.project import inherited
from stackhand.project.model import Service
from stackhand.release import git, source
from stackhand.release.manifest import KnownMigration
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
    return _of([(service, PROJECT) for service in _listing()])


def of_commit(commit: str) -> list[KnownMigration] | None:
    """Return the migrations of a commit, which need not be the one that is checked out; None as `of_checkout`.

    Raises:
        Failure: the commit is not in this clone, or its migrations are not in order.
    """
    known: list[KnownMigration] = []
    for service in _listing():
        with files_of(commit, str(service.build.sources) if service.build else ".") as folder:
            if (migrations := _of([(service, folder)])) is None:
                return None
            known += migrations
    return known if _listing() else None


def _listing() -> list[Service]:
    return [each for each in compose.stack_of(PROJECT).services.values() if each.migration("list")]


def _of(services: list[tuple[Service, Path]]) -> list[KnownMigration] | None:
    lists = [_list(service, folder) for service, folder in services]
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
    reported = [migrations for text in (done.stdout, done.stderr) if (migrations := _decoded(text))]
    if error := next((each.error for each in reported if each.error), None):
        raise Failure("The migrations are invalid.", evidence=[error.what], next="./inv db.plan")
    return next((each.migrations for each in reported if done.returncode == 0), None)


def _decoded(text: bytes) -> _Listed | None:
    try:
        return msgspec.json.decode(text, type=_Listed)
    except msgspec.MsgspecError:
        return None


@contextmanager
def files_of(commit: str, place: str) -> Iterator[Path]:
    """Give a folder that has a place of a commit at its path, as the checkout has it.

    Raises:
        Failure: the commit is not in this clone, so nobody knows what it has there.
    """
    wanted = source.clean(commit)
    try:
        here = git.run("rev-parse", "HEAD", folder=PROJECT).strip() == wanted
    except git.NoGit:
        here = True
    # Of images that nobody knows the commit of, and without git, this folder is all there is.
    here = here or not source.COMMIT.fullmatch(commit)
    if here or not (PROJECT / place).is_dir():
        yield PROJECT
        return
    if not git.succeeds("cat-file", "-e", f"{wanted}^{{commit}}", folder=PROJECT):
        raise Failure(
            f"{wanted[:12]} is not in this clone, so its migrations are unknown.",
            evidence=["they decide whether a rollback to or from it is possible"],
            next="git fetch, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    with git.exported(PROJECT, wanted, [place], dirty=False) as folder:
        yield folder
