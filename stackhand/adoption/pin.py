"""`stackhand.lock`: the version that a project runs, with the hashes of all packages, as pip and uv read it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited
from stackhand.system import program
from stackhand.system.roots import CONTENT, IS_CHECKOUT, LOCK

HEAD = """\
# The version of Stackhand that ./inv runs here, with the hashes of its packages. Commit it; ./inv upgrade changes it.
# Then, the files that Stackhand generated: it renews one only while nobody has edited it, as its digest tells.
"""
UV = Path(sys.prefix) / "bin" / "uv"
WITHIN = 120.0
REQUIREMENT = re.compile(r"^stackhand(?:==| @ )(\S+)", re.MULTILINE)


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


def text(wanted: str, packages: str, records: Mapping[str, str]) -> str:
    """Return a lock.

    Args:
        wanted: the requirement of Stackhand itself.
        packages: the lock of everything else, which comes with that version.
        records: the digests of generated files, by path.

    Raises:
        Failure: the hash of that version cannot be had.
    """
    return _joined(_hashed(wanted), packages, records)


def renewed(lock: str, records: Mapping[str, str]) -> str:
    """Return the text of a lock with other records of generated files."""
    body = "".join(line for line in lock.splitlines(keepends=True) if not line.startswith("#"))
    return _joined(body, "", records)


def pinned(root: Path) -> str:
    """Return what a project's lock names: a version, or where Stackhand comes from; nothing without a lock."""
    try:
        match = REQUIREMENT.search((root / LOCK).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""
    return match[1] if match else ""


def packages() -> str:
    """Return the lock of the running version's packages."""
    return (CONTENT / "requirements.lock").read_text(encoding="utf-8")


def _joined(own: str, packages: str, records: Mapping[str, str]) -> str:
    lines = "".join(f"# file sha256:{records[path]} {path}\n" for path in sorted(records))
    body = "".join(line for line in packages.splitlines(keepends=True) if not line.startswith("#"))
    return f"{HEAD}{lines}{own}{body}"


def _hashed(wanted: str) -> str:
    """Return a requirement with the hashes that the index, or the file itself, has; a folder and a commit have none."""
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
