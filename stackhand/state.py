"""`.stackhand/`: everything this checkout keeps on the machine, and whose turn it is to change it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackhand import ownership
from stackhand.failure import ExitCode, Failure

SOCKET_PATH_LIMIT = 103
"""Longest path of a unix socket in bytes: `sun_path` of macOS, the shorter of the two systems, less its NUL."""
LONGEST_SOCKET_NAME = len("/postgres/.s.PGSQL.65535.lock")
TEMPORARY = Path("/tmp")  # noqa: S108 - a folder of ours in it; TMPDIR differs from shell to shell, and may be long
COMPILED = ("plugins", "roles", "stackhand")
TURN_HELD = "STACKHAND_TURN"


class State:
    """The paths below `.stackhand/` of one checkout.

    Args:
        root: the checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / ".stackhand"
        self.logs = self.directory / "logs"
        self.data = self.directory / "data"
        self.snapshots = self.directory / "snapshots"
        self.services = self.directory / "services"
        self.config = self.directory / "config"
        self.file = self.directory / "state.json"

    @property
    def run(self) -> Path:
        """The folder of sockets and process records; elsewhere when the checkout's path is too long for a socket."""
        here = self.directory / "run"
        if len(os.fsencode(here)) + LONGEST_SOCKET_NAME <= SOCKET_PATH_LIMIT:
            return here
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        ours, of_root = (TEMPORARY / f"stackhand-{uid}-{digest}" for uid in (os.getuid(), 0))
        return of_root if of_root.exists() and not ours.exists() else ours

    def make(self) -> None:
        """Create the folders, whatever the umask; only their owner may look into those with secrets.

        Raises:
            Failure: the checkout cannot be written.
        """
        try:
            self.directory.mkdir(exist_ok=True)
            (self.directory / ".gitignore").write_text("*\n", encoding="utf-8")
            for folder in (self.logs, self.data, self.config, self.snapshots, self.services):
                folder.mkdir(exist_ok=True)
            closed = (self.logs, self.services, self.snapshots)
            # The services' accounts pass through data/, config/ and run/ to what is theirs, and cannot list them.
            for folder, mode in (*((each, 0o700) for each in closed), (self.data, 0o711), (self.config, 0o711)):
                folder.chmod(mode)
            if os.getuid() == 0:
                self.directory.chmod(self.directory.stat().st_mode | 0o711)
        except PermissionError as error:
            raise ownership.refused(error) from error
        except OSError as error:
            raise Failure(
                f"{self.directory} cannot be written: {error.strerror}.",
                next="make the checkout writable for you, then repeat the command",
                code=ExitCode.PREFLIGHT,
            ) from error

    def make_run(self) -> None:
        """Create the folder of sockets and records, which lasts as long as there is something in it.

        Raises:
            Failure: it cannot be made, or is somebody else's.
        """
        try:
            self.run.mkdir(exist_ok=True)
            if self.run.lstat().st_uid == os.getuid():
                self.run.chmod(0o711)
        except OSError as error:
            raise Failure(f"{self.run} cannot be made: {error.strerror}.", code=ExitCode.PREFLIGHT) from error
        found = self.run.lstat()
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            raise ownership.closed(self.run)

    def read(self) -> dict[str, Any]:
        """Return what was remembered of this checkout; nothing when there is no memory, or a damaged one.

        Raises:
            Failure: there is one that this account may not read.
        """
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except PermissionError as error:
            raise ownership.refused(error) from error
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def remember(self, **facts: Any) -> None:
        """Add facts to what is remembered; a fact that is None is forgotten."""
        known = {key: value for key, value in {**self.read(), **facts}.items() if value is not None}
        draft = self.file.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        draft.replace(self.file)

    def forget(self) -> None:
        """Forget everything but the engine, which stays with the checkout."""
        if self.file.exists():
            self.remember(**{fact: None for fact in self.read() if fact != "engine"})

    @contextmanager
    def turn(self, command: str, patience: float, waiting: Callable[[str], None]) -> Iterator[int | None]:
        """Hold the right to change this checkout's stack, so that two commands never work on it at once.

        The kernel gives it back when the last process that holds it ends, however it ends; a playbook that
        outlives a killed `./inv` keeps it.

        Args:
            command: who we are, for those who wait for us.
            patience: how many seconds to wait.
            waiting: told once, with a sentence, when we have to wait.

        Yields:
            The descriptor a child process must inherit to share the turn; None when our parent holds it.

        Raises:
            Failure: the turn did not come in time.
        """
        if os.environ.get(TURN_HELD) == str(self.directory):
            yield None
            return
        self.make()
        with (self.directory / "turn").open("a+", encoding="utf-8") as file:
            self._wait_for(file.fileno(), patience, waiting)
            file.truncate(0)
            since = datetime.now(UTC).astimezone().strftime("%H:%M:%S %Z")
            file.write(f"{command} (pid {os.getpid()}, since {since})")
            file.flush()
            try:
                yield file.fileno()
            finally:
                file.truncate(0)
                self._hand_over()

    def _hand_over(self) -> None:
        """Leave to the owner of the checkout what root has made there, but for what its servers live in."""
        if not ownership.of_another(self.root):
            return
        with suppress(OSError):  # the work is done, and a container's root may not look everywhere
            inside = [each for each in self.directory.iterdir() if each not in {self.data, self.config, self.run}]
            ownership.hand_over(self.root, inside)
        # Ansible looks for plugins in every folder beside them, and breaks on one that it may not list.
        compiled = [each for name in COMPILED for each in (self.root / name).rglob("__pycache__")]
        ownership.hand_over(self.root, compiled)
        ownership.give(self.root, self.directory)
        ownership.give(self.root, self.data)
        ownership.give(self.root, self.config)

    def holder(self) -> str:
        """Return who holds the turn, as `command (pid N, since T)`."""
        return (self.directory / "turn").read_text(encoding="utf-8") or "another command"

    def _wait_for(self, descriptor: int, patience: float, waiting: Callable[[str], None]) -> None:
        deadline = time.monotonic() + patience
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Failure(
                        f"{self.holder()} is at work in this checkout, and did not end within {patience:g} s.",
                        next="wait for it or end it, then repeat the command",
                    ) from None
                if not told:
                    waiting(f"waiting for {self.holder()} to end ...")
                    told = True
                time.sleep(0.1)
            else:
                return
