"""`./inv remove`: take Stackhand out of a project again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stackhand.adoption import pin, repository
from stackhand.cli import console, packages
from stackhand.cli.failure import ExitCode, Failure
from stackhand.local import otherengine
from stackhand.local.otherengine import Left
from stackhand.project import environments, settings
from stackhand.project.state import State
from stackhand.system import program, trees
from stackhand.system.roots import IS_CHECKOUT, LOCK, PROJECT

DOTENV = ".env"


def remove(*, yes: bool) -> None:
    """Remove what Stackhand has generated, and leave the project as it was.

    Raises:
        Failure: this project has not adopted Stackhand, or its stack is up.
    """
    lock = PROJECT / LOCK
    if IS_CHECKOUT or not lock.is_file():
        raise Failure(f"There is nothing to remove: {PROJECT} has no {LOCK}.", code=ExitCode.USAGE)
    left = _require_stopped()
    records = pin.recorded(lock.read_text(encoding="utf-8"))
    states = {path: pin.state(PROJECT, path, records) for path in records}
    ours = [path for path, state in states.items() if state == "unedited"]
    edited = [path for path, state in states.items() if state == "edited"]
    if settings.is_ours(PROJECT) and not left.data and not left.unknown:  # else it has the password of what stays
        ours.append(DOTENV)
    _show(ours, edited, left)
    if not yes:
        console.confirm(f"This removes Stackhand from {PROJECT}", PROJECT.name)
    for path in (*ours, LOCK):
        (PROJECT / path).unlink()
        _drop_empty(PROJECT / path)
    ignored = repository.unignore(PROJECT)
    kept = f"; kept, because somebody edited it: {', '.join(edited)}" if edited else ""
    kept += "; .env stays, with its line in .gitignore: it may have what only you know" if ignored else ""
    data = ", ".join(map(str, left.data))
    kept += f"; {data} stays, with its data: docker compose down --volumes" if data else ""
    console.write(f"Stackhand is removed from {PROJECT.name}{kept}")
    _remove_state(State(PROJECT).directory)


def _require_stopped() -> Left:
    """Return what stays: volumes, which plain Docker Compose may have made, and uses again.

    Raises:
        Failure: the stack is up, or there is data that would be lost with `.stackhand/`.
    """
    left = otherengine.left(State(PROJECT), volumes=True)
    lost = [str(each) for each in left.data if not each.volume]
    if left.running or lost:
        found = "its stack is up" if left.running else "its data is in .stackhand/"
        raise Failure(
            f"{PROJECT.name} is not to be removed yet: {found}.",
            evidence=lost,
            next=f"./inv down{' --volumes, which asks first' if lost else ''}; then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    return left


def _show(ours: list[str], edited: list[str], left: Left) -> None:
    snapshots = len([each for each in State(PROJECT).snapshots.rglob("*") if each.is_file()])
    state = f".stackhand/ with {console.counted(snapshots, 'file')} of snapshots" if snapshots else ".stackhand/"
    made = [*ours, LOCK, state, "lines of .gitignore"]
    for line in left.unknown:
        console.notify(line)
    console.write(f"to be removed: {', '.join(made)}")
    if edited:
        console.write(f"edited, so kept: {', '.join(edited)}")
    for line in _clouds():
        console.write(f"  {console.glyph('note')} {line}")


def _clouds() -> Iterator[str]:
    """Yield a sentence on each environment in which something may still run."""
    for name in environments.known():
        if not packages.CLOUD.current():  # they are installed for who uses AWS, and not to leave
            yield f"{name}: if something of it runs on AWS, ./inv destroy -e {name} comes first"
            continue
        try:
            environment = environments.load(name)
        except Failure as failure:
            yield f"{name}: {failure.what}"
            continue
        yield f"{name}: {_found_there(environment)}"


def _found_there(environment: environments.Environment) -> str:
    """Return in words whether an environment has a bucket of state, which the first release makes."""
    from stackhand.aws import errors

    command = f"./inv destroy -e {environment.name}, before this"
    try:
        environment.client("s3").head_bucket(Bucket=environment.bucket)
    except Exception as error:  # whatever AWS, the network and the lack of credentials say
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
        if code in {"404", "NoSuchBucket"}:
            return "nothing of it is on AWS"
        reason = errors.failure_of(error)
        why = reason.what.rstrip(".") if reason else type(error).__name__
        return f"whether something of it runs on AWS is not known ({why}); if so: {command}"
    return f"it is on AWS, and stays and costs until: {command}"


def _drop_empty(path: Path) -> None:
    """Remove the folders that a file leaves empty, up to the project."""
    for folder in path.parents:
        if folder in {PROJECT, *PROJECT.parents}:
            return
        with suppress(OSError):
            folder.rmdir()


def _remove_state(folder: Path) -> None:
    """Remove `.stackhand`; where this very Python runs from it, another program does, as our last act."""
    if Path(sys.prefix).is_relative_to(folder):
        program.replace([shutil.which("rm") or "/bin/rm", "-rf", str(folder)])
    for path, error in trees.remove(folder):
        console.notify(f"{path} stays: {error.strerror}")
