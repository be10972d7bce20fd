"""The git repository around a project: its top folder and branch, its Compose files, and our lines in `.gitignore`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec

from stackhand.project import inherited
from stackhand.project.compose import composefiles
from stackhand.system import program

WITHIN = 10.0
BLOCK = "# Stackhand"
IGNORED = (".stackhand/", ".env")
"""What must not be committed: all that is made here, and the secrets."""


class GitRepository(msgspec.Struct, frozen=True):
    """A repository.

    Args:
        top: its folder; that of the project where there is no git.
        folder: the project's, relative to it; "." for the same.
        branch: the one that is released, as far as it can be told.
    """

    top: Path
    folder: str
    branch: str


def of(root: Path) -> GitRepository:
    """Return the repository of a project."""
    top = Path(_git(root, "rev-parse", "--show-toplevel") or root).resolve()
    remote = _git(root, "symbolic-ref", "--short", "refs/remotes/origin/HEAD").rpartition("/")[2]
    branch = remote or _git(root, "symbolic-ref", "--short", "HEAD") or "main"
    return GitRepository(top, os.path.relpath(root.resolve(), top), branch)


def compose_files(root: Path) -> list[str]:
    """Return the Compose files below a folder that git does not ignore, for who looks for one in the wrong place."""
    known = _git(root, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    found = known or [str(each.relative_to(root)) for depth in ("*/", "*/*/") for each in root.glob(f"{depth}*.y*ml")]
    return sorted(each for each in found if "/" in each and Path(each).name in composefiles.NAMES)


def ignore(root: Path) -> str:
    """Add to `.gitignore` what must not be committed, and return what was added; nothing where git ignores it all.

    A file that is committed is its owners' decision, and a line there would not change it.
    """
    names = [name for name in IGNORED if not _is_ignored(root, name) and not _git(root, "ls-files", "--", name)]
    if names:
        path = root / ".gitignore"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        gap = "\n" if before else ""  # an empty line, or the end of a line that has none: see unignore
        path.write_text(before + gap + "\n".join([BLOCK, *names]) + "\n", encoding="utf-8")
    return ", ".join(names)


def unignore(root: Path) -> bool:
    """Take our lines out of `.gitignore` again; a file that had no others goes.

    Returns:
        Whether the line of `.env` stays: that file is there, and the next `git add --all` would commit its secrets.
    """
    path = root / ".gitignore"
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError:
        return False
    start = next((number for number, line in enumerate(lines) if line.strip() == BLOCK), None)
    if start is None:
        return False
    end = start + 1
    while end < len(lines) and lines[end].strip() in IGNORED:
        end += 1
    if (root / ".env").is_file() and ".env" in (line.strip() for line in lines[start:end]):
        path.write_text("".join([*lines[: start + 1], ".env\n", *lines[end:]]), encoding="utf-8")
        return True
    before = "".join(lines[:start]).removesuffix("\n")  # what `ignore` put between
    left = before + "".join(lines[end:])
    if left:
        path.write_text(left, encoding="utf-8")
    else:
        path.unlink()
    return False


def _is_ignored(root: Path, name: str) -> bool:
    done = _run(root, "check-ignore", "--quiet", "--no-index", name)
    if done is None:
        return False
    if done.returncode in {0, 1}:
        return done.returncode == 0
    lines = (root / ".gitignore").read_text(encoding="utf-8") if (root / ".gitignore").exists() else ""
    return name in lines.split()


def _git(root: Path, *words: str) -> str:
    done = _run(root, *words)
    return done.stdout.strip() if done and done.returncode == 0 else ""


def _run(root: Path, *words: str) -> subprocess.CompletedProcess[str] | None:
    """Run git; None where it cannot be run, or takes too long."""
    environment = inherited.environment("git", LC_ALL="C")
    try:
        return program.run(["git", *words], environment=environment, folder=root, timeout=WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        return None
