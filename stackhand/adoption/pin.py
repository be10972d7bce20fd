"""`stackhand.lock`: the version that a project runs, with the hashes of all packages, as pip and uv read it.

It also has a digest of each file that Stackhand has put into the project: one that nobody has edited may be renewed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

from stackhand.adoption.answers import Answers
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited
from stackhand.system import program
from stackhand.system.roots import CONTENT, IS_CHECKOUT, LOCK, PROJECT

HEAD = """\
# The version of Stackhand that ./inv runs here, with the hashes of its packages. Commit it; ./inv upgrade changes it.
# Then, the files that Stackhand generated: it renews one only while nobody has edited it, as its digest tells.
"""
UV = Path(sys.prefix) / "bin" / "uv"
WITHIN = 120.0
ANSWERS = re.compile(r"^# answers (.+)$", re.MULTILINE)
RECORD = re.compile(r"^# file sha256:([0-9a-f]{64}) (.+)$", re.MULTILINE)
REQUIREMENT = re.compile(r"^stackhand(?:==| @ )(\S+)", re.MULTILINE)
State = Literal["absent", "unedited", "edited", "foreign"]


def requirement() -> str:
    """Return the running version as a requirement: of the index, or the URL, repository or folder it came from."""
    if IS_CHECKOUT:
        return f"stackhand @ {CONTENT.as_uri()}"
    distribution = metadata.distribution("stackhand")
    came = json.loads(distribution.read_text("direct_url.json") or "{}")
    url = str(came.get("url") or "")
    if commit := (came.get("vcs_info") or {}).get("commit_id"):
        return f"stackhand @ git+{url}@{commit}"
    return f"stackhand @ {url}" if url else f"stackhand=={distribution.version}"


def read() -> str:
    """Return the text of the project's lock; nothing where there is none."""
    try:
        return (PROJECT / LOCK).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def text(own: str, packages: str, answers: Answers, records: Mapping[str, str]) -> str:
    """Return a lock.

    Args:
        own: the requirement of Stackhand itself, with its hashes; or a lock, whose requirements stay.
        packages: the lock of everything else, which comes with that version.
        answers: by which the generated files were written.
        records: the digests of generated files, by path.
    """
    said = f"# answers {msgspec.json.encode(answers).decode()}\n"
    digests = "".join(f"# file sha256:{records[path]} {path}\n" for path in sorted(records))
    return f"{HEAD}{said}{digests}{_uncommented(own)}{_uncommented(packages)}"


def answers(lock: str) -> Answers | None:
    """Return the answers that a lock has; None for a lock that somebody has written by hand."""
    match = ANSWERS.search(lock)
    try:
        return msgspec.json.decode(match[1], type=Answers) if match else None
    except ValueError:
        return None


def pinned(lock: str) -> str:
    """Return what a lock names: a version, or where Stackhand comes from; nothing without a lock."""
    match = REQUIREMENT.search(lock)
    return match[1] if match else ""


def own(lock: str) -> str:
    """Return the lines of a lock that are Stackhand's own requirement, with its hashes."""
    match = re.search(r"^stackhand(?:==| @ ).*(?:\n[ \t].*)*\n?", lock, re.MULTILINE)
    return match[0] if match else ""


def digest(text: str) -> str:
    """Return the digest by which an edited file is told from one that is as it was generated."""
    return hashlib.sha256(text.encode()).hexdigest()


def recorded(lock: str) -> dict[str, str]:
    """Return the digests by path that the text of a lock has."""
    return {path: digest for digest, path in RECORD.findall(lock)}


def state(root: Path, path: str, records: Mapping[str, str]) -> State:
    """Return whether a file is there, whether it is ours, and whether somebody has edited it."""
    try:
        text = (root / path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return "absent"
    except UnicodeDecodeError:
        return "edited" if path in records else "foreign"
    if path not in records:
        return "foreign"
    return "unedited" if digest(text) == records[path] else "edited"


def packages() -> str:
    """Return the lock of this version's packages, which its content has."""
    return (CONTENT / "requirements.lock").read_text(encoding="utf-8")


def hashed(wanted: str) -> str:
    """Return a requirement with the hashes that the index, or the file itself, has; a folder and a commit have none.

    Raises:
        Failure: they cannot be had.
    """
    if wanted.startswith("stackhand @ git+") or (" @ file:" in wanted and not wanted.endswith((".whl", ".tar.gz"))):
        return f"{wanted}\n"
    args = [str(UV), "pip", "compile", "--quiet", "--no-deps", "--generate-hashes", "--no-header", "--no-annotate", "-"]
    try:
        done = program.run(args, environment=inherited.environment("ansible"), text=f"{wanted}\n", timeout=WITHIN)
    except OSError as error:
        raise Failure(f"uv cannot be run: {error.strerror}.", evidence=[str(UV)], code=ExitCode.PREFLIGHT) from error
    if done.returncode != 0 or "--hash" not in done.stdout:
        raise Failure(
            f"The hash of {wanted} cannot be had, and {LOCK} needs it.",
            evidence=done.stderr.strip().splitlines()[-6:],
            next="connect this machine to its package index or a mirror (UV_DEFAULT_INDEX), then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    return done.stdout


def _uncommented(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
