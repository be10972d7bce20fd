"""The repository of this checkout: the git command, what its refusals mean, and a copy of the files that git knows."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited

HAVE_IMAGES = "release images that are already in ECR with --tag NAME"
SUBMODULE = "160000 "
"""How the index marks a commit of another repository."""
POINTER = b"version https://git-lfs.github.com/spec/v1"
"""How a file begins whose content Git LFS keeps elsewhere."""
POINTER_BYTES = 1024
PLAIN = ("--binary", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
"""Options of `git diff`, whatever the user's settings are."""
FOR_EVERYBODY = 0o022
"""The umask of an export: the modes in an image come from the commit, not from whoever deploys."""


class NoGit(Failure):
    """Git is not installed, or the folder is no work tree of a repository with a commit."""


def run(*args: str, folder: Path, stdin: str = "", umask: int = -1, **settings: str) -> str:
    """Return what a git command prints, with settings as variables of its environment; paths that are no text survive.

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


def submodules(folder: Path) -> dict[str, str]:
    """Return the submodules of a checkout, and the commits that its index has of them."""
    entries = names("ls-files", "-z", "--stage", "--", ".", folder=folder)
    parts = (entry.partition("\t") for entry in entries if entry.startswith(SUBMODULE))
    return {name: what.split()[1] for what, _, name in parts}


def _run(
    args: Iterable[str], folder: Path, stdin: str = "", umask: int = -1, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *args],
            cwd=folder,
            env=inherited.environment("git", LC_ALL="C", **(settings or {})),
            input=stdin,
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


@contextmanager
def exported(root: Path, commit: str, paths: Sequence[str], *, dirty: bool) -> Iterator[Path]:
    """Give a copy of the checkout's root that has the files of a commit below some paths, and no others.

    With `dirty`, they are as in the checkout, with new ones that git does not ignore.

    Raises:
        Failure: a submodule or the content of a file of Git LFS is not in this clone.
    """
    top, place = placed(root)
    with tempfile.TemporaryDirectory(prefix="stackhand-") as folder:
        target = Path(folder) / "export"
        target.mkdir()
        target.chmod(0o777 & ~FOR_EVERYBODY)
        wanted = [os.path.normpath(place + path) for path in paths]
        if dirty:
            _copy(top, wanted, target)
        else:
            _check_out(top, commit, wanted, target)
        _require_content(top, target)
        (target / place).mkdir(parents=True, exist_ok=True)
        yield target / place


def digest(root: Path, paths: Sequence[str]) -> str:
    """Return a digest of all that differs from the commit, new files and submodules as well."""
    top, place = placed(root)
    digest = hashlib.sha256()
    wanted = [os.path.normpath(place + path) for path in paths]
    for repository, among in _repositories(top, wanted):
        digest.update(run("rev-parse", "HEAD", folder=repository).encode())
        digest.update(_bytes(run("diff", *PLAIN, "HEAD", "--", *among, folder=repository)))
        for name in sorted(_new(repository, among)):
            path = repository / name
            content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            digest.update(_bytes(name) + content)
    return digest.hexdigest()[:12]


def placed(root: Path) -> tuple[Path, str]:
    """Return the top of the repository, and where the checkout is below it: empty, or with a slash at its end."""
    top = run("rev-parse", "--show-toplevel", folder=root).rstrip("\n")
    return Path(top), run("rev-parse", "--show-prefix", folder=root).rstrip("\n")


def _check_out(repository: Path, commit: str, paths: Sequence[str], target: Path) -> None:
    """Write the files of a commit, with its submodules; neither the index nor the work tree is touched."""
    chosen = [] if "." in paths else paths  # to `git ls-tree` none means all
    listed = names("ls-tree", "-r", "-z", "--full-tree", commit, "--", *chosen, folder=repository)
    files = [entry.partition("\t")[2] for entry in listed if not entry.startswith(SUBMODULE)]
    with tempfile.TemporaryDirectory(prefix="stackhand-") as scratch:
        index = str(Path(scratch) / "index")
        run("read-tree", commit, folder=repository, GIT_INDEX_FILE=index)
        args = ("checkout-index", "--force", "-z", "--stdin", f"--prefix={target}/")
        run(*args, folder=repository, stdin="\0".join(files), umask=FOR_EVERYBODY, GIT_INDEX_FILE=index)
    everything = names("ls-tree", "-r", "-z", "--full-tree", commit, folder=repository)
    inner = (each.partition("\t") for each in everything if each.startswith(SUBMODULE))
    recorded = {name: what.split()[2] for what, _, name in inner}
    for name, within in _within(recorded, paths).items():
        _require_submodule(repository, name, recorded[name])
        _check_out(repository / name, recorded[name], within, target / name)


def _within(submodules: Iterable[str], paths: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the submodules that some paths contain or lie in, each with what is wanted of it."""
    folders: dict[str, Sequence[str]] = {}
    for name in submodules:
        if any(path in {".", name} or name.startswith(f"{path}/") for path in paths):
            folders[name] = ["."]
        elif below := [os.path.relpath(path, name) for path in paths if path.startswith(f"{name}/")]:
            folders[name] = below
    return folders


def _copy(folder: Path, paths: Sequence[str], target: Path) -> None:
    """Copy the files as they are, but for those that git ignores."""
    for repository, among in _repositories(folder, paths):
        known = names("ls-files", "-z", "--cached", "--", *among, folder=repository)
        for name in {*known, *_new(repository, among)}:
            path, copy = repository / name, target / repository.relative_to(folder) / name
            if path.is_symlink() or path.is_file():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy, follow_symlinks=False)


def _repositories(folder: Path, paths: Sequence[str]) -> Iterator[tuple[Path, Sequence[str]]]:
    """Yield a repository and those inside it, each with the paths to look at."""
    yield folder, paths
    for name, within in _within(submodules(folder), paths).items():
        if (folder / name / ".git").exists():
            yield from _repositories(folder / name, within)
    for name in _others(folder, paths):
        if name.endswith("/"):
            yield from _repositories(folder / name, ["."])


def _new(repository: Path, paths: Sequence[str]) -> list[str]:
    """Return the files that git neither has nor ignores."""
    return [name for name in _others(repository, paths) if not name.endswith("/")]


def _others(repository: Path, paths: Sequence[str]) -> list[str]:
    """Return what git neither has nor ignores; a repository of its own ends with a slash."""
    return names("ls-files", "-z", "--others", "--exclude-standard", "--", *paths, folder=repository)


def _require_submodule(repository: Path, name: str, commit: str) -> None:
    there = (repository / name / ".git").exists()
    if not there or not succeeds("cat-file", "-e", f"{commit}^{{commit}}", folder=repository / name):
        raise Failure(
            f"The submodule {name} is not in this clone, but an image is built from it.",
            evidence=[f"this commit has {name} at {commit}"],
            next="git submodule update --init --recursive, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )


def _require_content(top: Path, target: Path) -> None:
    """Refuse pointers of Git LFS: an image would have them in the place of the files."""
    missing = [path.relative_to(target) for path in target.rglob("*") if _is_pointer(path)]
    if pointers := [path for path in missing if _is_kept_by_lfs(top, path)]:
        raise Failure(
            f"{len(pointers)} files are bare Git LFS pointers without their content.",
            evidence=[str(path) for path in sorted(pointers)[:10]],
            next="git lfs install && git lfs pull, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )


def _is_pointer(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > POINTER_BYTES:
        return False
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER


def _is_kept_by_lfs(top: Path, name: Path) -> bool:
    repository = next(each for each in (top / name).parents if (each / ".git").exists())
    path = str((top / name).relative_to(repository))
    output = run("check-attr", "-z", "filter", "--", path, folder=repository)
    return output.split("\0")[2:3] == ["lfs"]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def below(paths: Iterable[str]) -> list[str]:
    """Return paths without those that others of them contain."""
    normalised = sorted({os.path.normpath(path) for path in paths})
    if "." in normalised:
        return [".", *(path for path in normalised if path.startswith(".."))]
    return [path for path in normalised if not any(path.startswith(f"{other}/") for other in normalised)]
