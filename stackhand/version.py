"""The version: what the build recorded in a package; in a checkout, what git's tags say when somebody asks.

Hatchling loads this file by its path, to version the package (pyproject.toml), so it imports nothing of ours.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

FIRST = "0.2.0"
"""What a history without a tag leads to; no other line of the toolkit has a number of a version (the service has)."""
RECORD = "version.json"
"""Beside this file, in an sdist and a wheel only: hatch_build.py writes it there."""
ARCHIVED = "$Format:%(describe:tags=true,match=v[0-9]*) %h$"
"""`git archive` replaces that (.gitattributes), and so does GitHub for who downloads the source."""
DESCRIBED = re.compile(
    r"(?:v(?P<tag>\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?)(?:-(?P<distance>\d+)-g[0-9a-f]+)?)?(?P<modified>-modified)? ?"
    r"(?P<commit>[0-9a-f]{7,40})?"
)
"""A tag, the commits since it, whether a tracked file was changed, and the commit."""


class Revision(NamedTuple):
    """Which code this is.

    Args:
        number: as packages have it (PEP 440): `0.2.0`, and between releases `0.2.1.dev3+gf0e088d`.
        commit: abbreviated; empty where it is unknown.
    """

    number: str
    commit: str

    def __str__(self) -> str:
        """Return it as people read it: `0.2.0 (f0e088d)`."""
        number, _, local = self.number.partition("+")
        modified = ", modified" if local.endswith(".modified") else ""
        return f"{number} ({self.commit or 'commit unknown'}{modified})"


@functools.cache
def current() -> Revision:
    """Return the version of this code."""
    return of(Path(__file__).resolve().parent)


def of(package: Path, archived: str = ARCHIVED) -> Revision:
    """Return the version of the code in a folder.

    Args:
        package: this Python package; git is asked only for a checkout, whose `.git` lies beside it.
        archived: what `git archive` made of `ARCHIVED`.
    """
    record = package / RECORD
    if record.is_file():
        return Revision(**json.loads(record.read_text(encoding="utf-8")))
    if (package.parent / ".git").exists():
        described = _git(package, "describe", "--tags", "--dirty=-modified", "--match", "v[0-9]*")
        untagged = "" if described else _git(package, "describe", "--always", "--dirty=-modified", "--exclude", "*")
        modified = "-modified" if untagged.endswith("-modified") else ""
        return _read(f"{described or modified} {_git(package, 'rev-parse', '--short', 'HEAD')}", _commits(package))
    return _read("" if archived.startswith("$") else archived)


def _read(described: str, commits: int = 0) -> Revision:
    """Return the version that a description of a commit means.

    Args:
        described: as `DESCRIBED` has it.
        commits: how many there are up to this one.
    """
    match = DESCRIBED.fullmatch(described.strip())
    tag, distance, modified, commit = match.group("tag", "distance", "modified", "commit") if match else ("",) * 4
    if tag and not distance and not modified:
        return Revision(tag, commit or "")
    following = re.sub(r"\d+$", lambda last: str(int(last[0]) + 1), tag) if tag else FIRST
    local = f"+g{commit}{'.modified' if modified else ''}" if commit else ""
    return Revision(f"{following}.dev{(distance or 0) if tag else commits}{local}", commit or "")


def _commits(package: Path) -> int:
    """Return how many commits lead to this one; 0 in a shallow clone, where git has only the last ones."""
    if _git(package, "rev-parse", "--is-shallow-repository") == "true":
        return 0
    return int(_git(package, "rev-list", "--count", "HEAD") or 0)


def _git(folder: Path, *args: str) -> str:
    """Return what git says of a folder; nothing where it is not installed, or refuses."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        result = subprocess.run(
            ["git", *args],
            cwd=folder,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
