"""The process that holds the lease while a playbook runs, and gives it back when that ends, however it ends.

Ansible has a process for each task, so none of them could hold anything. This one is started by the first task, watches
the playbook's own process by number and birth, and dies last. It has its handlers before it has the lease.
"""

from __future__ import annotations

import json
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
from typing import Any

import msgspec
import psutil

from stackhand import ROOT
from stackhand.cli.failure import Failure
from stackhand.cli.loglines import tail
from stackhand.project import inherited
from stackhand.project.state import State

LOOKS = 0.2
_started: list[subprocess.Popen[bytes]] = []
"""Kept, for Python complains about a child that is forgotten; this one is to outlive us."""


def start(request: dict[str, Any], tell: Callable[[str], None], check: Callable[[], None]) -> dict[str, Any]:
    """Start a keeper and return the lease that it took.

    Args:
        request: environment, owner, commit, run, patience; and pid of the playbook.
        tell: told while it waits.
        check: raises when somebody wants us to stop.

    Raises:
        Failure: there is no lease to be had.
    """
    child = _start({**request, "born": psutil.Process(request["pid"]).create_time()})
    assert child.stdout is not None  # noqa: S101 - asked for
    with child.stdout:
        try:
            event = _answer(child.stdout.fileno(), tell, check)
        except BaseException:
            child.terminate()
            raise
    if "lease" in event:
        return {**event["lease"], "keeper": child.pid}
    child.wait()
    if "failure" in event:
        raise Failure.from_dict(event["failure"])
    raise Failure(
        "The process that holds the lease ended.",
        evidence=tail(_log(str(request["environment"])), 5),
        next="repeat the command",
    )


def _answer(descriptor: int, tell: Callable[[str], None], check: Callable[[], None]) -> dict[str, Any]:
    """Return what a keeper says at last: that it has the lease, or why not; nothing when it just ended."""
    for line in _lines(descriptor, check):
        event: dict[str, Any] = json.loads(line)
        if "waiting" not in event:
            return event
        tell(event["waiting"])
    return {}


def _start(request: dict[str, Any]) -> subprocess.Popen[bytes]:
    with _log(str(request["environment"])).open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "stackhand.release.heartbeat"],
            cwd=ROOT,
            env=inherited.environment("ansible"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    _started.append(child)
    assert child.stdin is not None  # noqa: S101 - asked for above
    with child.stdin:
        child.stdin.write(json.dumps(request).encode())
    return child


def _lines(descriptor: int, check: Callable[[], None]) -> Iterator[str]:
    """Yield the lines of a pipe, and look up meanwhile whether to go on."""
    rest = b""
    while True:
        check()
        if not select.select([descriptor], [], [], LOOKS)[0]:
            continue
        read = os.read(descriptor, 65536)
        if not read:
            return
        *whole, rest = (rest + read).split(b"\n")
        yield from (line.decode() for line in whole)


def _log(environment: str) -> Path:
    state = State(ROOT)
    state.make()
    return state.logs / f"lease-{environment}.log"


def stop(pid: int) -> None:
    """End a keeper, which gives the lease back if it still has it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if "stackhand.release.heartbeat" in process.cmdline():
            process.terminate()


def main() -> None:
    """Take the lease that standard input asks for, and hold it until the playbook ends or somebody ends us."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    request = json.load(sys.stdin)
    watched = (int(request["pid"]), float(request["born"]))
    from stackhand.aws import errors
    from stackhand.aws.waiting import Retry
    from stackhand.infrastructure.bucket import Store
    from stackhand.project import environments
    from stackhand.release.lease import LASTS, RENEWED, LeaseClient

    def pause(seconds: float) -> None:
        if ended.wait(seconds) or not _alive(*watched):
            raise SystemExit(0)

    try:
        retry = Retry(LASTS / 2, pause, lambda text: _say({"waiting": text}))
        client = LeaseClient(Store(environments.load(request["environment"]), retry), sleep=pause)
        lease = client.take(
            request["owner"],
            request["commit"],
            request["run"],
            float(request["patience"]),
            lambda text: _say({"waiting": text}),
        )
    except Exception as error:
        failure = error if isinstance(error, Failure) else errors.failure_of(error)
        if failure is None:
            raise
        _say({"failure": failure.to_dict()})
        return
    try:
        _say({"lease": msgspec.to_builtins(lease)})
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _hold(client.renew, lambda: ended.is_set() or not _alive(*watched), RENEWED)
    finally:
        client.give_back()


def _hold(renew: Callable[[], bool], over: Callable[[], bool], every: float) -> None:
    """Renew the lease until it is over, or not ours any more; S3 may be away for a while."""
    renewed = time.monotonic()
    while not over():
        time.sleep(LOOKS)
        if time.monotonic() - renewed >= every:
            renewed = time.monotonic()
            with suppress(Failure):
                if not renew():
                    return


def _alive(pid: int, born: float) -> bool:
    """Whether a process is still the one we mean, and not a zombie that nobody has buried."""
    try:
        process = psutil.Process(pid)
        return process.create_time() == born and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _say(event: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):
        print(json.dumps(event), flush=True)  # noqa: T201 - the pipe to who started us


if __name__ == "__main__":
    main()
