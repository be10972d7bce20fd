"""`.stackhand/`: everything this checkout keeps on the machine, and the lock on changing it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import ownership
from stackhand.project.memory import Memory
from stackhand.system import trees, waiting

SOCKET_PATH_LIMIT = 103
"""Longest path of a unix socket in bytes: `sun_path` of macOS, the shorter of the two systems, less its NUL."""
LONGEST_SOCKET_NAME = len("/postgres/.s.PGSQL.65535.lock")
COMPILED = ("plugins", "roles", "stackhand")
LOCK_HELD = "STACKHAND_TURN"


class State:
    """The paths below `.stackhand/` of one checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / ".stackhand"
        self.logs = self.directory / "logs"
        self.data = self.directory / "data"
        self.snapshots = self.directory / "snapshots"
        self.services = self.directory / "services"
        self.run = self.directory / "run"
        self.config = self.directory / "config"
        self.file = self.directory / "state.json"
        self.key_file = self.directory / "key"

    @property
    def sockets(self) -> Path:
        """The folder of the sockets: `run`, or one in /tmp when the checkout's path is too long for a socket.

        Nobody else can tell the second one's name before it is made (docs/decisions/047-run-folder.md).
        """
        if len(os.fsencode(self.run)) + LONGEST_SOCKET_NAME <= SOCKET_PATH_LIMIT:
            return self.run
        return ownership.TEMPORARY / f"stackhand-{os.getuid()}-{self.keyed(os.fsencode(self.root))[:12]}"

    def keyed(self, content: bytes) -> str:
        """Return a digest of what may be secret: without this checkout's key nobody can try passwords against it.

        Raises:
            PermissionError: this account may not read the key.
        """
        import hmac  # 5 ms for OpenSSL, which a list of the verbs needs not

        try:
            key = self.key_file.read_bytes()
        except FileNotFoundError:  # nothing was started here yet
            key = b""
        return hmac.new(key, content, "sha256").hexdigest()

    def make(self) -> None:
        """Create the folders, whatever the umask; only their owner may look into those with secrets.

        Raises:
            Failure: the checkout cannot be written.
        """
        try:
            self.directory.mkdir(exist_ok=True)
            (self.directory / ".gitignore").write_text("*\n", encoding="utf-8")
            # The services' accounts pass through data/, config/ and run/ to what is theirs, and cannot list them.
            passed = {self.data: 0o711, self.config: 0o711}
            for folder, mode in {**passed, **dict.fromkeys((self.logs, self.services, self.snapshots), 0o700)}.items():
                folder.mkdir(exist_ok=True)
                folder.chmod(mode)
            mode = self.directory.stat().st_mode & ~ownership.OTHERS_MAY_WRITE | (0o711 if os.getuid() == 0 else 0)
            if mode != self.directory.stat().st_mode:
                self.directory.chmod(mode)
        except PermissionError as error:
            raise ownership.refused(error) from error
        except OSError as error:
            raise Failure(
                f"{self.directory} cannot be written: {error.strerror}.",
                next="make the checkout writable for your account, then repeat the command",
                code=ExitCode.PREFLIGHT,
            ) from error

    def make_run(self) -> None:
        """Create the folders of records and sockets, which last as long as there is something in them.

        Raises:
            Failure: one cannot be made, or others can put something into it.
        """
        self._make_key()
        for folder in (self.run, self.sockets):
            try:
                with suppress(FileExistsError):
                    folder.mkdir(mode=0o700)
                ownership.require(folder)
                if folder.lstat().st_uid != os.getuid():  # the stack of the checkout's owner, and we are root
                    raise ownership.closed(folder)
                folder.chmod(0o711)  # the database's account passes through, and cannot list
            except PermissionError as error:
                raise ownership.refused(error) from error
            except OSError as error:
                raise Failure(f"{folder} cannot be created: {error.strerror}.", code=ExitCode.PREFLIGHT) from error

    def remove_run(self) -> None:
        """Remove the folders of records and sockets, as far as they are ours."""
        for folder in {self.run, self.sockets}:
            if ownership.is_closed(folder):
                trees.remove(folder)

    def _make_key(self) -> None:
        if not self.key_file.exists():
            ownership.write(self.key_file, os.urandom(32).hex())

    def read(self) -> Memory:
        """Return what was remembered of this checkout; nothing when there is no memory.

        Raises:
            Failure: there is one that this account may not read, or that is not as we wrote it.
        """
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=Memory)
        except PermissionError as error:
            raise ownership.refused(error) from error
        except OSError:
            return Memory()
        except ValueError as error:
            raise Failure(
                f"{self.file} is not as Stackhand wrote it.",
                evidence=[str(error)],
                next="undo the edit; or remove the file, then ./inv up, which writes a new one",
                code=ExitCode.PREFLIGHT,
            ) from error

    def write(self, memory: Memory) -> None:
        """Remember this, and nothing else."""
        ownership.write(self.file, msgspec.json.format(msgspec.json.encode(memory), indent=2).decode() + "\n")

    @contextmanager
    def edit(self) -> Iterator[Memory]:
        """Yield what is remembered, and remember what has become of it at the end of the block."""
        yield (memory := self.read())
        self.write(memory)

    def forget(self) -> None:
        """Forget everything but the engine, which stays with the checkout, and what `.env` was made as."""
        if self.file.exists():
            known = self.read()
            self.write(Memory(engine=known.engine, dotenv=known.dotenv))

    @contextmanager
    def lock(self, command: str, timeout: float, notify: Callable[[str], None]) -> Iterator[int | None]:
        """Hold the right to change this checkout's stack, so that two commands never work on it at once.

        The kernel gives it back when the last process that holds it ends, however it ends; a playbook that
        outlives a killed `./inv` keeps it.

        Those who wait for us are told the command. We wait for the timeout's seconds, and `notify` is told so, once.

        Yields:
            The descriptor a child process must inherit to share the lock; None when our parent holds it.

        Raises:
            Failure: the lock was not free in time.
        """
        if os.environ.get(LOCK_HELD) == str(self.directory):
            yield None
            return
        self.make()
        with self._open_lock() as file:
            self._wait_for(file.fileno(), timeout, notify)
            self._make_key()
            file.truncate(0)
            since = datetime.now(UTC).astimezone().strftime("%H:%M:%S %Z")
            file.write(f"{command} (pid {os.getpid()}, since {since})")
            file.flush()
            try:
                yield file.fileno()
            finally:
                file.truncate(0)
                self._hand_over()

    def _open_lock(self) -> IO[str]:
        """Open the lock file for its owner alone: whoever could read it could take the lock, and keep it."""
        path = self.directory / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(OSError):
            os.fchmod(descriptor, 0o600)  # of a version that made it for everybody
        ownership.give(self.root, path)  # at once: the owner of the checkout waits in it for root
        return os.fdopen(descriptor, "a+", encoding="utf-8")

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
        for folder in (self.directory, self.data, self.config):
            ownership.give(self.root, folder)

    def holder(self) -> str:
        """Return who holds the lock, as `command (pid N, since T)`."""
        return (self.directory / "lock").read_text(encoding="utf-8") or "another command"

    def _wait_for(self, descriptor: int, timeout: float, notify: Callable[[str], None]) -> None:
        reported = False
        for _ in waiting.polls(timeout, 0.1):
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if not reported:
                notify(f"waiting for {self.holder()} ...")
                reported = True
        raise Failure(
            f"{self.holder()} is still working in this checkout after {timeout:g} s.",
            next="wait for it or stop it, then repeat the command",
        )
