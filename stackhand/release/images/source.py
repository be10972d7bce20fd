"""What is to be deployed: the commit of this checkout, whether it may be, and the folders of its images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.services import compose
from stackhand.project.stack.model import Build, Service
from stackhand.project.stack.xaws import Fargate
from stackhand.release.images import checkout
from stackhand.system.roots import PROJECT

ALL = (".",)
DIRTY = "-dirty-"
"""Between a commit and the digest of what differs from it."""
STATUS = ("status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=none")

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
ABBREVIATED = re.compile(r"[0-9a-f]{7,64}")
COMMIT = re.compile(rf"[0-9a-f]{{40}}([0-9a-f]{{24}})?({DIRTY}[0-9a-f]+)?")


@dataclass(frozen=True)
class Source:
    """What is to be released.

    Args:
        commit: with a mark when files differ from it; what its images say they are, and are tagged with.
        name: another tag of its images; empty without `--tag NAME`.
        here: whether this checkout is it; otherwise its images have to be in ECR already.
    """

    commit: str
    name: str = ""
    here: bool = True


def choose(*, tag: str, dirty: bool, folders: Sequence[str] = ALL) -> Source:
    """Return what is to be released: this checkout, or another commit whose images are there.

    Args:
        tag: a commit, or another name for what is here.
        dirty: whether changes that are not committed may go along.
        folders: what a release is made of, relative to the checkout; changes elsewhere do not count.

    Raises:
        Failure: it is no checkout of git, or has such changes.
    """
    if tag and not TAG.fullmatch(tag):
        raise Failure(f"--tag {tag!r} is not a valid image tag.", next="letters, digits, _ . -", code=ExitCode.USAGE)
    try:
        head = _git("rev-parse", "HEAD").strip()
        changes = _git(*STATUS, "--", *folders).splitlines()
    except checkout.NoGit:
        if not tag:
            raise
        return Source(tag, tag, here=False)  # whether ECR has images of that name is asked next
    named = _commit_of(tag) if tag else head
    if named and named != head:
        return Source(named, here=False)
    if changes and not dirty:
        raise Failure(
            "This checkout has uncommitted changes.",
            evidence=changes[:10],
            next="commit them, or include them with --dirty",
            code=ExitCode.PREFLIGHT,
        )
    name = "" if named and head.startswith(tag) else tag
    return Source(f"{head}{DIRTY}{checkout.digest(PROJECT, folders)}" if changes else head, name)


def sources() -> list[str]:
    """Return what images are built from, relative to the checkout: the checkout, and what Compose names beside it."""
    released = [each for each in compose.stack_of(PROJECT).services.values() if isinstance(each.aws, Fargate)]
    return checkout.below([".", *contexts(released)])


def contexts(services: Iterable[Service]) -> list[str]:
    """Return the folders that builds see, and those of Dockerfiles elsewhere."""
    builds = [service.build for service in services if service.build]
    folders = [context(build) for build in builds] + [str(Path(dockerfile(build)).parent) for build in builds]
    return checkout.below(folders)


def context(build: Build) -> str:
    """Return the folder that a build sees, relative to the checkout also where Compose has it written out."""
    return os.path.relpath(build.context, PROJECT) if Path(build.context).is_absolute() else build.context


def dockerfile(build: Build) -> str:
    """Return the Dockerfile of a build, likewise."""
    return str(Path(context(build)) / build.dockerfile)


def expected(tag: str) -> str:
    """Return the commit that `choose` will take, changes aside; nothing where it will refuse or git cannot tell."""
    try:
        head = _git("rev-parse", "HEAD").strip()
        return (_commit_of(tag) if TAG.fullmatch(tag) else "") or head
    except Failure:
        return ""


def _commit_of(tag: str) -> str:
    """Return the commit that a text names, by itself or as a tag of git; nothing, when it is a name for an image alone.

    A few digits, such as the number of a run, begin some commit's number too often to be taken for it.

    Raises:
        Failure: it is a branch, which is another commit tomorrow.
    """
    if checkout.succeeds("show-ref", "--verify", "--quiet", f"refs/heads/{tag}", folder=PROJECT):
        raise Failure(
            f"--tag {tag} is a branch, and a branch moves.",
            next=f"use its commit: --tag $(git rev-parse {tag})",
            code=ExitCode.USAGE,
        )
    number = ABBREVIATED.fullmatch(tag)
    args = ("rev-parse", "--verify", "--quiet", f"{tag if number else f'refs/tags/{tag}'}^{{commit}}")
    return _git(*args).strip() if checkout.succeeds(*args, folder=PROJECT) else ""


def clean(commit: str) -> str:
    """Return a commit without the mark of what differs from it."""
    return commit.partition("-dirty")[0]


def require_newer(running: str, wanted: str, environment: str) -> str:
    """Refuse what is older than what runs, or whose age is unknown; return a note on the two.

    Raises:
        Failure: the wanted commit is an ancestor of the running one, or one of them is not in this clone.
    """
    old, new = clean(running), clean(wanted)
    if old == new:
        return ""
    if not _known(old):
        raise _unknown(f"The running commit {old[:12]}", old)
    if not _known(new):
        raise _unknown(new[:12], new)
    if checkout.succeeds("merge-base", "--is-ancestor", new, old, folder=PROJECT):
        raise Failure(
            f"{new[:12]} is older than the running {old[:12]}.",
            evidence=_git("log", "--oneline", "--max-count=5", f"{new}..{old}").splitlines(),
            next=f"deploy a newer commit, ./inv rollback -e {environment}, or deploy anyway with --allow-older",
            code=ExitCode.PREFLIGHT,
        )
    if checkout.succeeds("merge-base", "--is-ancestor", old, new, folder=PROJECT):
        return ""
    if _shallow():
        raise _unrelated(old, new)
    lost = len(_git("rev-list", f"{new}..{old}").splitlines())
    commits = console.counted(lost, "commit")
    return f"{new[:12]} is on another branch than the running {old[:12]}, and lacks {commits} of it"


def _unknown(subject: str, commit: str) -> Failure:
    """Return the refusal of a comparison with what this clone does not have."""
    if not COMMIT.fullmatch(commit):
        return Failure(
            f"{subject} is not a git commit, so it is unknown which release is newer.",
            next="--allow-older, to replace it anyway",
            code=ExitCode.PREFLIGHT,
        )
    fetch = "git fetch --unshallow (fetch-depth: 0 in a workflow)" if _shallow() else "git fetch"
    return Failure(
        f"{subject} is not in this clone, so it is unknown whether this release is older.",
        evidence=["somebody may have released a newer commit from another clone"],
        next=f"{fetch}, then repeat the command; or --allow-older, to replace it anyway",
        code=ExitCode.PREFLIGHT,
    )


def _unrelated(old: str, new: str) -> Failure:
    return Failure(
        f"This clone is shallow: its history does not show whether {new[:12]} is newer than the running {old[:12]}.",
        next="git fetch --unshallow (fetch-depth: 0 in a workflow), then repeat the command; or --allow-older",
        code=ExitCode.PREFLIGHT,
    )


def _shallow() -> bool:
    """Whether the clone lacks a part of the history."""
    try:
        return _git("rev-parse", "--is-shallow-repository").strip() == "true"
    except Failure:
        return False


def _known(commit: str) -> bool:
    """Whether it is a commit of this clone; a name that runs is none, whatever it means here today."""
    try:
        return bool(COMMIT.fullmatch(commit)) and checkout.succeeds(
            "cat-file", "-e", f"{commit}^{{commit}}", folder=PROJECT
        )
    except checkout.NoGit:
        return False


def _git(*args: str) -> str:
    return checkout.run(*args, folder=PROJECT)
