"""What is to be deployed: the commit of this checkout, and whether it may be."""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass

from stackhand import ROOT, inherited
from stackhand.failure import ExitCode, Failure

LOCK = "terraform/.terraform.lock.hcl"
"""What `terraform init` writes into a checkout, also a clean one: it is to be committed, and is in no image."""
BUT_LOCK = ("--", f":(exclude){LOCK}")

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Source:
    """What is to be released.

    Args:
        name: its commit, with a mark when files differ from it; what its images are tagged with.
        here: whether this checkout is it; otherwise its images have to be there already.
    """

    name: str
    here: bool = True


def choose(*, tag: str, dirty: bool) -> Source:
    """Return what is to be released: this checkout, or another commit whose images are there.

    Args:
        tag: a commit, or another name for what is here.
        dirty: whether changes that are not committed may go along.

    Raises:
        Failure: it is no checkout of git, or has such changes.
    """
    if tag and not TAG.fullmatch(tag):
        raise Failure(f"--tag {tag!r} is no tag for an image.", next="letters, digits, _ . -", code=ExitCode.USAGE)
    head = _git("rev-parse", "HEAD").strip()
    named = _commit_of(tag) if tag else head
    if named and named != head:
        return Source(named, here=False)
    changes = _git("status", "--porcelain", *BUT_LOCK).splitlines()
    if changes and not dirty:
        raise Failure(
            "This checkout has changes that are not committed.",
            evidence=changes[:10],
            next="commit them, or deploy them as they are with --dirty",
            code=ExitCode.PREFLIGHT,
        )
    name = named or tag
    return Source(f"{name}-dirty-{_digest()}" if changes else name)


def _commit_of(tag: str) -> str:
    """Return the commit that a name means; nothing, when it means none."""
    words = ["git", "rev-parse", "--verify", "--quiet", f"{tag}^{{commit}}"]
    said = subprocess.run(
        words, cwd=ROOT, env=inherited.environment("git"), capture_output=True, text=True, errors="replace", check=False
    )
    return said.stdout.strip() if said.returncode == 0 else ""


def require_newer(running: str, wanted: str) -> None:
    """Refuse what is older than what runs.

    Raises:
        Failure: the wanted commit is an ancestor of the running one.
    """
    old, new = running.partition("-dirty")[0], wanted.partition("-dirty")[0]
    if old == new or not (_known(old) and _known(new)):
        return
    if _ask("merge-base", "--is-ancestor", new, old) == 0:
        raise Failure(
            f"{new[:12]} is older than {old[:12]}, which runs.",
            evidence=_git("log", "--oneline", "--max-count=5", f"{new}..{old}").splitlines(),
            next="deploy a newer commit, go back with ./inv rollback, or insist with --allow-older",
            code=ExitCode.PREFLIGHT,
        )


def _digest() -> str:
    """Return a digest of all that differs from the commit, new files as well."""
    found = hashlib.sha256(_git("diff", "HEAD", "--binary", *BUT_LOCK).encode("utf-8", "surrogateescape"))
    for name in sorted(_git("ls-files", "--others", "--exclude-standard", "-z", *BUT_LOCK).split("\0")):
        if name and (ROOT / name).is_file():
            found.update(name.encode("utf-8", "surrogateescape") + (ROOT / name).read_bytes())
    return found.hexdigest()[:12]


def _known(name: str) -> bool:
    return _ask("cat-file", "-e", f"{name}^{{commit}}") == 0


def _ask(*words: str) -> int:
    argv = ["git", *words]
    return subprocess.run(argv, cwd=ROOT, env=inherited.environment("git"), capture_output=True, check=False).returncode


def _git(*words: str) -> str:
    try:
        said = subprocess.run(
            ["git", *words],
            cwd=ROOT,
            env=inherited.environment("git"),
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        raise Failure(
            "There is no git command, so nobody knows which commit this is.",
            next="install git, or name the release with --tag",
            code=ExitCode.PREFLIGHT,
        ) from None
    if said.returncode != 0:
        raise Failure(
            "This is no checkout of git with a commit, so a release has no name.",
            evidence=said.stderr.splitlines()[-3:],
            next="git commit, or name the release with --tag",
            code=ExitCode.PREFLIGHT,
        )
    return said.stdout
