"""The process that holds the lease while a playbook runs, and gives it back when that ends, however it ends.

Ansible may have a process for each task, so none of them could hold anything. This one is started beside the playbook,
or by its first task, watches the playbook's own process by number and birth, and dies last. It has its handlers before
it has the lease.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import msgspec
import psutil

from stackhand.ansible import process
from stackhand.cli.failure import Failure, FailureDocument
from stackhand.cli.loglines import tail
from stackhand.project import environments, inherited
from stackhand.project.state import State
from stackhand.system import roots
from stackhand.system.roots import PROJECT

CHECKED_EVERY = 0.2
_started: list[subprocess.Popen[bytes]] = []
"""Kept, for Python complains about a child that is forgotten; this one is to outlive us."""


class LeaseRequest(msgspec.Struct, frozen=True):
    """What a heartbeat is started for.

    Args:
        run: the address of the CI run.
        timeout: seconds to wait for a lease that somebody else holds.
        pid: of the playbook.
        born: when the playbook started; that of `pid` without it.
    """

    environment: str
    owner: str
    commit: str
    run: str
    timeout: float
    pid: int
    born: float = 0.0


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line that a heartbeat writes: for whom it waits, and at last the token of the lease or why there is none."""

    waiting: str = ""
    token: str = ""
    failure: FailureDocument | None = None


class Held(NamedTuple):
    """A lease that a heartbeat renews: its token, and the heartbeat's process."""

    token: str
    pid: int


def start(request: LeaseRequest, notify: Callable[[str], None], check: Callable[[], None]) -> Held:
    """Start a heartbeat and return the lease that it took.

    Raises:
        Failure: there is no lease to be had.
    """
    request = msgspec.structs.replace(request, born=psutil.Process(request.pid).create_time())
    pid, output = _loaded(request) or _start(request)
    try:
        event = _result(output, notify, check)
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        raise
    finally:
        os.close(output)
    if event.token:
        return Held(event.token, pid)
    for child in [each for each in _started if each.pid == pid]:
        child.wait()
    if event.failure is not None:
        raise Failure.of(event.failure)
    raise Failure(
        "The process that renews the lease ended.",
        evidence=tail(_log(request.environment), 5),
        next="repeat the command",
    )


def _result(descriptor: int, notify: Callable[[str], None], check: Callable[[], None]) -> Event:
    """Return the last event of a heartbeat: that it has the lease, or why not; an empty one when it just ended."""
    for line in _lines(descriptor, check):
        event = msgspec.json.decode(line, type=Event)
        if not event.waiting:
            return event
        notify(event.waiting)
    return Event()


def _loaded(request: LeaseRequest) -> tuple[int, int] | None:
    """Give the request to the heartbeat that has loaded beside Ansible, and return its process and its output."""
    beside = process.take_beside()
    if beside is None:
        return None
    try:
        os.write(beside.stdin, _line(request))
    except OSError:  # it has ended: as if it had never been
        os.close(beside.stdout)
        return None
    finally:
        os.close(beside.stdin)
    return beside.pid, beside.stdout


def _start(request: LeaseRequest) -> tuple[int, int]:
    """Start a heartbeat for a request, and return its process and its output."""
    with _log(request.environment).open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", process.BESIDE],
            cwd=PROJECT,
            env=inherited.environment("ansible", **{roots.VARIABLE: str(PROJECT)}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    _started.append(child)
    assert child.stdin is not None  # noqa: S101 - asked for above
    assert child.stdout is not None  # noqa: S101 - likewise
    with child.stdin, child.stdout:
        child.stdin.write(_line(request))
        child.stdin.flush()
        return child.pid, os.dup(child.stdout.fileno())


def _line(request: LeaseRequest) -> bytes:
    return msgspec.json.encode(request) + b"\n"


def _lines(descriptor: int, check: Callable[[], None]) -> Iterator[str]:
    """Yield the lines of a pipe, and look up meanwhile whether to go on."""
    rest = b""
    while True:
        check()
        if not select.select([descriptor], [], [], CHECKED_EVERY)[0]:
            continue
        read = os.read(descriptor, 65536)
        if not read:
            return
        *whole, rest = (rest + read).split(b"\n")
        yield from (line.decode() for line in whole)


def _log(environment: str) -> Path:
    state = State(PROJECT)
    state.make()
    return state.logs / f"lease-{environment}.log"


def stop(pid: int) -> None:
    """End a heartbeat, which gives the lease back if it still has it."""
    with suppress(psutil.NoSuchProcess):
        found = psutil.Process(pid)
        if process.BESIDE in found.cmdline():
            found.terminate()


def main() -> None:
    """Take the lease that standard input asks for, and hold it until the playbook ends or somebody ends us."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    environments.load_ahead("s3")
    if not (line := sys.stdin.buffer.readline()):
        return  # nobody needs a lease
    request = msgspec.json.decode(line, type=LeaseRequest)
    watched = (request.pid, request.born)
    with _log(request.environment).open("ab") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
    from stackhand.aws import errors
    from stackhand.aws.waiting import Retry
    from stackhand.infrastructure.store import Store
    from stackhand.release.lease import LASTS, RENEWED, LeaseClient

    def pause(seconds: float) -> None:
        if ended.wait(seconds) or not _alive(*watched):
            raise SystemExit(0)

    try:
        retry = Retry(LASTS / 2, pause, lambda text: _notify(Event(waiting=text)))
        client = LeaseClient(Store(environments.load(request.environment), retry), sleep=pause)
        lease = client.take(
            request.owner, request.commit, request.run, request.timeout, lambda text: _notify(Event(waiting=text))
        )
    except Exception as error:
        failure = error if isinstance(error, Failure) else errors.failure_of(error)
        if failure is None:
            raise
        _notify(Event(failure=failure.document()))
        return
    try:
        _notify(Event(token=lease.token))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _hold(client.renew, lambda: ended.is_set() or not _alive(*watched), RENEWED)
    finally:
        client.give_back()


def _hold(renew: Callable[[], bool], over: Callable[[], bool], every: float) -> None:
    """Renew the lease until it is over, or not ours any more; S3 may be away for a while."""
    renewed = time.monotonic()
    while not over():
        time.sleep(CHECKED_EVERY)
        if time.monotonic() - renewed >= every:
            renewed = time.monotonic()
            with suppress(Failure):
                if not renew():
                    return


def _alive(pid: int, born: float) -> bool:
    """Whether a process is still the one we mean, and not a zombie that nobody has buried."""
    try:
        playbook = psutil.Process(pid)
        return playbook.create_time() == born and playbook.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _notify(event: Event) -> None:
    with suppress(BrokenPipeError):
        print(msgspec.json.encode(event).decode(), flush=True)  # noqa: T201 - the pipe to who started us


if __name__ == "__main__":
    main()
