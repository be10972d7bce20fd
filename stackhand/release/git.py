"""The git command, and what its refusals mean."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited

HAVE_IMAGES = "release images that ECR has already with --tag NAME"
SUBMODULE = "160000 "
"""How the index marks a commit of another repository."""


class NoGit(Failure):
    """Git is not installed, or the folder is no work tree of a repository with a commit."""


def run(
    *words: str, folder: Path, given: str | None = None, umask: int = -1, settings: Mapping[str, str] | None = None
) -> str:
    """Return what a git command prints; paths that are no text survive.

    Raises:
        NoGit: there is no repository that git would read.
        Failure: git refuses; its last lines are the evidence.
    """
    result = _run(words, folder, given, umask, settings)
    if result.returncode != 0:
        raise _refused(words, folder, result.stderr)
    return result.stdout


def succeeds(*words: str, folder: Path) -> bool:
    """Whether a git command ends with 0."""
    return _run(words, folder).returncode == 0


def names(*words: str, folder: Path) -> list[str]:
    """Return the names that a git command prints with `-z`."""
    return [name for name in run(*words, folder=folder).split("\0") if name]


def submodules(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return the submodules of a checkout below some paths, and the commits that its index has of them."""
    entries = names("ls-files", "-z", "--stage", "--", *paths, folder=folder)
    found = (entry.partition("\t") for entry in entries if entry.startswith(SUBMODULE))
    return {name: what.split()[1] for what, _, name in found}


def _run(
    words: Iterable[str],
    folder: Path,
    given: str | None = None,
    umask: int = -1,
    settings: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *words],
            cwd=folder,
            env=inherited.environment("git", LC_ALL="C", **(settings or {})),
            input=given if given is not None else "",
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            umask=umask,
            check=False,
        )
    except FileNotFoundError:
        raise NoGit(
            "There is no git command, so nobody knows which commit this is.",
            next=f"install git and repeat the command; or {HAVE_IMAGES}",
            code=ExitCode.PREFLIGHT,
        ) from None


def _refused(words: Iterable[str], folder: Path, said: str) -> Failure:
    """Return what a refusal of git means, with the command that helps."""
    lines = [line.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for line in said.splitlines() if line]
    if trusted := re.search(r"safe\.directory (\S+|'[^']+')$", said, re.MULTILINE):
        return Failure(
            f"Git does not read {folder}, because it belongs to another user.",
            evidence=[line for line in lines if "dubious ownership" in line] or lines[-3:],
            next=f"git config --global --add safe.directory {trusted[1]}",
            code=ExitCode.PREFLIGHT,
        )
    for pattern, what, instead in (
        (r"not a git repository", "is not in a git repository", "deploy from a clone of the repository"),
        (r"must be run in a work tree", "is in a bare repository, which has no files", "deploy from a clone of it"),
        (r"ambiguous argument 'HEAD'|unknown revision|single revision", "has no commit yet", "git add and git commit"),
    ):
        if re.search(pattern, said):
            return NoGit(
                f"{folder} {what}, so a release has no commit.",
                evidence=lines[:1],
                next=f"{instead}; or {HAVE_IMAGES}",
                code=ExitCode.PREFLIGHT,
            )
    if "is outside repository" in said:
        return Failure(
            "An image is built from a folder outside of this repository, so its commit does not tell what is in it.",
            evidence=lines[:1],
            next="move the folder into the repository, or make it a submodule",
            code=ExitCode.PREFLIGHT,
        )
    return Failure(
        f"git {' '.join(words)[:80]} failed.",
        evidence=lines[-3:],
        next=f"git status, in {folder}",
        code=ExitCode.PREFLIGHT,
    )
