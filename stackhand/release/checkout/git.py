"""The git command, and what its refusals mean."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited

HAVE_IMAGES = "release images that are already in ECR with --tag NAME"
SUBMODULE = "160000 "
"""How the index marks a commit of another repository."""


class NoGit(Failure):
    """Git is not installed, or the folder is no work tree of a repository with a commit."""


def run(
    *args: str, folder: Path, stdin: str | None = None, umask: int = -1, settings: Mapping[str, str] | None = None
) -> str:
    """Return what a git command prints; paths that are no text survive.

    Raises:
        NoGit: there is no repository that git would read.
        Failure: git refuses; its last lines are the evidence.
    """
    result = _run(args, folder, stdin, umask, settings)
    if result.returncode != 0:
        raise _refused(args, folder, result.stderr)
    return result.stdout


def succeeds(*args: str, folder: Path) -> bool:
    """Whether a git command ends with 0."""
    return _run(args, folder).returncode == 0


def names(*args: str, folder: Path) -> list[str]:
    """Return the names that a git command prints with `-z`."""
    return [name for name in run(*args, folder=folder).split("\0") if name]


def submodules(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return the submodules of a checkout below some paths, and the commits that its index has of them."""
    entries = names("ls-files", "-z", "--stage", "--", *paths, folder=folder)
    parts = (entry.partition("\t") for entry in entries if entry.startswith(SUBMODULE))
    return {name: what.split()[1] for what, _, name in parts}


def _run(
    args: Iterable[str],
    folder: Path,
    stdin: str | None = None,
    umask: int = -1,
    settings: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *args],
            cwd=folder,
            env=inherited.environment("git", LC_ALL="C", **(settings or {})),
            input=stdin or "",
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            umask=umask,
            check=False,
        )
    except FileNotFoundError:
        raise NoGit(
            "There is no git command, so the commit is unknown.",
            next=f"install git and repeat the command; or {HAVE_IMAGES}",
            code=ExitCode.PREFLIGHT,
        ) from None


def _refused(args: Iterable[str], folder: Path, message: str) -> Failure:
    """Return what a refusal of git means, with the command that helps."""
    lines = [
        line.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for line in message.splitlines() if line
    ]
    if trusted := re.search(r"safe\.directory (\S+|'[^']+')$", message, re.MULTILINE):
        return Failure(
            f"Git refuses to read {folder}, because it belongs to another user.",
            evidence=[line for line in lines if "dubious ownership" in line] or lines[-3:],
            next=f"git config --global --add safe.directory {trusted[1]}",
            code=ExitCode.PREFLIGHT,
        )
    for pattern, what, instead in (
        (r"not a git repository", "is not in a git repository", "deploy from a clone of the repository"),
        (r"must be run in a work tree", "is in a bare repository, which has no files", "deploy from a clone of it"),
        (r"ambiguous argument 'HEAD'|unknown revision|single revision", "has no commit yet", "git add and git commit"),
    ):
        if re.search(pattern, message):
            return NoGit(
                f"{folder} {what}, so a release has no commit.",
                evidence=lines[:1],
                next=f"{instead}; or {HAVE_IMAGES}",
                code=ExitCode.PREFLIGHT,
            )
    if "is outside repository" in message:
        return Failure(
            "An image is built from a folder outside this repository, so its commit does not identify its content.",
            evidence=lines[:1],
            next="move the folder into the repository, or make it a submodule",
            code=ExitCode.PREFLIGHT,
        )
    return Failure(
        f"git {' '.join(args)[:80]} failed.",
        evidence=lines[-3:],
        next=f"git status, in {folder}",
        code=ExitCode.PREFLIGHT,
    )
