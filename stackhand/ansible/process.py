"""The process of a playbook: its command line, its environment and its start.

Ansible takes as long to load as a verb takes to look at the stack, so the two are done side by side: a process that has
loaded it waits at a socket for the playbook. It ends where none comes, be it because the verb needs none or was killed.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from stackhand.ansible.events import EVENTS
from stackhand.cli import packages
from stackhand.cli.failure import Failure
from stackhand.project import inherited
from stackhand.project.state import LOCK_HELD, State
from stackhand.system import roots
from stackhand.system.roots import CONTENT, IS_CHECKOUT, PROJECT

AHEAD = "--ahead"
"""What `stackhand.ansible.start` gets in place of a playbook, before the socket at which it waits, and the verb."""
NEEDS = {"up": False, "down": True}
"""The verbs that run a playbook where the stack was left as it is said here: up or not."""
LEASED = frozenset({"deploy", "resume", "rollback"})
"""The playbooks, and verbs, beside which a process keeps a lease."""
CLOUD = LEASED | {"plan"}
"""The verbs, and their playbooks, that always run one."""
BESIDE = "stackhand.release.heartbeat"
"""What keeps a lease: a module, which takes as long to load as Ansible does."""
HELP = {"--help", "-h"}


class PlaybookRequest(msgspec.Struct, frozen=True):
    """What the process that waits is told to become: the arguments of ansible-playbook, and its whole environment."""

    arguments: list[str]
    environment: dict[str, str]


def command(playbook: str, variables: Mapping[str, Any]) -> list[str]:
    """Return the command line that runs `playbooks/NAME.yml` with extra variables."""
    return [*_python(), *_arguments(playbook, variables)]


def begin(words: Sequence[str], folder: Path = PROJECT) -> None:
    """Have a process load Ansible where the verb of a command line will probably need it; see `start`."""
    verb = next((word for word in words if not word.startswith("-")), "")
    ours = IS_CHECKOUT or roots.VARIABLE in os.environ  # else the project's own version may run in our place
    if verb in NEEDS.keys() | CLOUD and ours and HELP.isdisjoint(words):
        state = State(folder)
        with suppress(Failure, OSError):  # the verb itself tells of what is wrong
            if _needs_playbook(verb, state):
                _load_ansible(state, verb)


def _needs_playbook(verb: str, state: State) -> bool:
    """Whether a verb will probably need one; without its packages, it first installs them."""
    if verb in CLOUD:
        return state.directory.is_dir() and packages.CLOUD.current()
    return state.file.exists() and state.read().up is NEEDS[verb]


def start(
    playbook: str, variables: Mapping[str, Any], state: State, *, log: IO[bytes], events: int, lock: int | None
) -> subprocess.Popen[bytes]:
    """Start a playbook, in the process that has loaded Ansible where there is one.

    Args:
        playbook: its name, without folder and ending.
        variables: Ansible's extra variables.
        state: of the project.
        log: for Ansible's own words.
        events: the descriptor that its events are written to.
        lock: that of `State.lock`, which the playbook shares.
    """
    shared = [events] if lock is None else [events, lock]
    environment = {**inherited.environment("ansible"), **_own(state)}
    if _ahead and (playbook in CLOUD) == (_ahead[0][2] in CLOUD):
        child, connection, _ = _ahead.pop()
        request = PlaybookRequest(_arguments(playbook, variables), environment)
        with connection, suppress(OSError):  # it has ended: as if it had never been
            socket.send_fds(connection, [b"\n"], [log.fileno(), *shared])
            connection.sendall(json.dumps(msgspec.structs.asdict(request)).encode())
            return child
        child.wait()
    return subprocess.Popen(
        command(playbook, variables),
        cwd=PROJECT,
        env={**environment, EVENTS: str(events)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=shared,
        start_new_session=True,
    )


def await_playbook(descriptor: int) -> None:
    """Wait, in the process that `begin` started, for what `start` sends, and become the process that it would start.

    Raises:
        SystemExit: nothing came, for no playbook is needed.
    """
    with socket.socket(fileno=descriptor) as connection:
        first, shared, _, _ = socket.recv_fds(connection, 1, 3)
        content = b"".join(iter(lambda: connection.recv(1 << 16), b"")) if first else b""
    try:
        request = msgspec.convert(
            json.loads(content), PlaybookRequest
        )  # msgspec's own JSON has no bytes that are not UTF-8
    except ValueError:
        raise SystemExit(0) from None
    log, events = shared[:2]  # a third is the lock, which we hold as long as we run
    for output in (1, 2):
        os.dup2(log, output)
    os.close(log)
    os.environ.clear()
    os.environ.update({**request.environment, EVENTS: str(events)})
    sys.argv[1:] = request.arguments


_ahead: list[tuple[subprocess.Popen[bytes], socket.socket, str]] = []
"""The process that waits, if there is one, our end of its socket, and the verb that it was begun for."""


def _load_ansible(state: State, verb: str) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(
            [*_python(), AHEAD, str(theirs.fileno()), verb],
            cwd=PROJECT,
            env={**inherited.allowed("ansible"), **_own(state)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    _ahead.append((child, ours, verb))
    atexit.register(_end_unneeded)


def playbook_pid() -> int:
    """Return the process of the playbook that we are a step of: it may run us in a worker, a child of its own."""
    parent = multiprocessing.parent_process()
    return parent.pid if parent and parent.pid else os.getpid()


class Beside(NamedTuple):
    """A process that loads beside Ansible, and then waits for a line on its stdin; it ends where none comes.

    Not a `Popen`: the worker that writes the line is a fork of the process that started it.
    """

    pid: int
    stdin: int
    stdout: int


_beside: list[Beside] = []
_children: list[subprocess.Popen[bytes]] = []
"""Kept, for Python complains about a child that is forgotten; this one may outlive us."""


def start_beside() -> None:
    """Start the process that will keep the lease of a playbook; see `take_beside`."""
    (reading, stdin), (stdout, writing) = os.pipe(), os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", BESIDE],
        cwd=PROJECT,
        env={**inherited.allowed("ansible"), roots.VARIABLE: str(PROJECT)},
        stdin=reading,
        stdout=writing,
        start_new_session=True,
    )
    os.close(reading)
    os.close(writing)
    _children.append(child)
    _beside.append(Beside(child.pid, stdin, stdout))


def take_beside() -> Beside | None:
    """Return that process, if there is one and nobody has taken it."""
    return _beside.pop() if _beside else None


def _end_unneeded() -> None:
    for child, connection, _ in _ahead:
        connection.close()
        child.send_signal(signal.SIGKILL)
        child.wait()


def _python() -> list[str]:
    return [sys.executable, "-P", "-m", "stackhand.ansible.start"]  # -P: a module of the project's is never one of ours


def _arguments(playbook: str, variables: Mapping[str, Any]) -> list[str]:
    """Return the arguments of ansible-playbook.

    Ansible would evaluate a text among the variables that looks like a template, and they come from outside: tags,
    names, paths.
    """
    path = roots.part("playbooks") / f"{playbook}.yml"
    return [str(path), "--extra-vars", json.dumps(_never_evaluated(variables), sort_keys=True)]


def _never_evaluated(value: Any) -> Any:
    """Return a value in which every text is marked as data, in the way that Ansible reads from JSON."""
    match value:
        case str():
            return {"__ansible_unsafe": value}
        case Mapping():
            return {key: _never_evaluated(each) for key, each in value.items()}
        case list() | tuple():
            return [_never_evaluated(each) for each in value]
        case _:
            return value


def _own(state: State) -> dict[str, str]:
    return {
        roots.VARIABLE: str(PROJECT),
        "ANSIBLE_HOME": str(state.directory / "ansible"),
        LOCK_HELD: str(state.directory),
        # Named, because Ansible ignores the file of a folder that everybody may write.
        "ANSIBLE_CONFIG": str(CONTENT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": os.pathsep.join(map(str, dict.fromkeys((roots.part("roles"), CONTENT / "roles")))),
        # Ansible refuses every locale that is not UTF-8.
        "LC_ALL": "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8",
    }
