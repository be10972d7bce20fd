"""A database of the running stack: what the verbs ask of it, whichever kind of server has it."""

from __future__ import annotations

import re
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local.engines.engine import Engine
from stackhand.project.stack.model import Service

SNAPSHOT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
KINDS = ("postgres", "mysql", "mongodb")
"""The kinds of servers, as `Service.server` has them."""
Command = tuple[list[str], Mapping[str, str]]
"""The words of a command, and its environment, which alone has the password."""


class Statistics(msgspec.Struct, frozen=True):
    """What a server reports of a database."""

    version: str
    size_bytes: int
    connections: int


class Database(ABC):
    """A database of the running stack.

    Args:
        engine: that runs it.
        service: its entry in the Compose file.
    """

    title: ClassVar[str]
    """What people call the kind of server."""
    suffix: ClassVar[str]
    """Of the file of a snapshot."""
    verbs: ClassVar[frozenset[str]] = frozenset(
        f"db.{verb}" for verb in ("migrate", "plan", "reset", "restore", "shell", "snapshot", "status")
    )
    """What can be done with it."""
    files: ClassVar[tuple[str, ...]]
    """The variables of its image that may be in a file, which a variable NAME_FILE names."""
    question: ClassVar[tuple[str, ...]]
    """Its client, and what it asks to see whether the server lets us in."""
    name: str
    """Of the database; empty where none is known."""

    def __init__(self, engine: Engine, service: Service) -> None:
        self.engine = engine
        self.service = engine.revealed(service, self.files)
        others = [each for each in engine.stack.services.values() if each.server in KINDS and each.name != service.name]
        self.snapshots = engine.state.snapshots / service.name if others else engine.state.snapshots

    def answers(self) -> bool:
        """Whether it can be worked with, whatever its health check says: it lets us in."""
        return self.attempt(*self.question)[0] == 0

    def shell(self) -> Command:
        """Return how its client is run for a person."""
        return self.command(self.question[0], interactive=True)

    @abstractmethod
    def command(self, tool: str, *, database: str = "", interactive: bool = False) -> Command:
        """Return how one of the programs of the server is run.

        Args:
            tool: the program.
            database: another one than the stack's.
            interactive: whether a person may type into it.
        """

    @abstractmethod
    def dump(self, path: Path) -> None:
        """Write all that is in the database into a new file."""

    @abstractmethod
    def replace(self, source: Path | None) -> list[str]:
        """Put another database in the place of the present one: that of a snapshot, or an empty one.

        Returns:
            A sentence on each thing that is not as it was.
        """

    @abstractmethod
    def statistics(self) -> Statistics:
        """Return its version, size and connections."""

    def run(
        self, tool: str, *args: str, database: str | None = None, source: Path | str | None = None, to: Any = None
    ) -> str:
        """Run one of the server's programs and return its output.

        Args:
            tool: the program.
            args: of the program.
            database: another one than the stack's.
            source: what it reads from standard input: a file, or a text.
            to: a file for its output, which is not returned then.

        Raises:
            Failure: it failed; its last lines are the evidence.
        """
        result = self._execute(tool, args, database, source, to)
        if result.returncode != 0:
            raise Failure(
                f"{tool} failed.", evidence=_lines(result.stderr)[-10:], next=f"./inv logs {self.service.name}"
            )
        return (result.stdout or b"").decode("utf-8", "replace")

    def attempt(
        self, tool: str, *args: str, database: str | None = None, source: Path | str | None = None
    ) -> tuple[int, list[str]]:
        """Run one of the server's programs; return its exit code, and the lines of what it complained about."""
        done = self._execute(tool, args, database, source, None)
        return done.returncode, _lines(done.stderr)

    def _execute(
        self, tool: str, args: tuple[str, ...], database: str | None, source: Path | str | None, to: Any
    ) -> subprocess.CompletedProcess[bytes]:
        argv, environment = self.command(tool, database=database or self.name)
        with _opened(source) as stdin:
            return subprocess.run(
                [*argv, *args],
                env=environment,
                stdin=stdin,
                stdout=to or subprocess.PIPE,
                stderr=subprocess.PIPE,
                check=False,
            )

    def write(self, path: Path, tool: str, *args: str) -> None:
        """Write the output of a program into a file, which is there only when it is whole."""
        draft = path.with_suffix(".tmp")
        try:
            draft.touch(0o600)
            with draft.open("wb") as file:
                self.run(tool, *args, to=file)
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)

    def save(self, name: str) -> Path:
        """Write a snapshot and return its file.

        Raises:
            Failure: the name is not valid, or taken, or the dump failed.
        """
        self.require_name()
        path = self.file(name)
        if path.exists():
            raise Failure(f"The snapshot {name!r} already exists.", next=f"use another name, or: rm {path}")
        self.snapshots.mkdir(mode=0o700, exist_ok=True)
        self.dump(path)
        return path

    def file(self, name: str) -> Path:
        """Return the file of a snapshot, whether it exists or not."""
        if not SNAPSHOT_NAME.fullmatch(name):
            raise Failure(
                f"{name!r} is not a snapshot name: use letters and digits; also . _ - inside.",
                code=ExitCode.USAGE,
            )
        return self.snapshots / f"{name}{self.suffix}"

    def known(self) -> list[str]:
        """Return the names of the snapshots, the newest first."""
        snapshots = sorted(self.snapshots.glob(f"*{self.suffix}"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [path.stem for path in snapshots]

    def require_name(self) -> None:
        """Refuse to work on a database that nobody has named.

        Raises:
            Failure: the service's environment names none.
        """
        if not self.name:
            raise Failure(
                f"{self.service.name} does not say which of its databases is the stack's.",
                next=f"set {self.files[-1]} in its environment, then repeat the command",
                code=ExitCode.PREFLIGHT,
            )


def first(service: Service, *names: str) -> str:
    """Return the first of these variables of a service that has a value; the images take an empty one for none."""
    return next((value for name in names if (value := service.environment.get(name))), "")


@contextmanager
def _opened(source: Path | str | None) -> Iterator[IO[bytes] | int]:
    if source is None:
        yield subprocess.DEVNULL
        return
    with source.open("rb") if isinstance(source, Path) else tempfile.TemporaryFile() as file:
        if isinstance(source, str):
            file.write(source.encode())
            file.seek(0)
        yield file


def _lines(output: bytes) -> list[str]:
    return output.decode("utf-8", "replace").strip().splitlines()
