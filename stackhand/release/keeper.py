"""The process that holds the lease while a playbook runs, and gives it back when that ends, however it ends.

Ansible has a process for each task, so none of them could hold anything. This one is started by the first task, watches
the playbook's own process by number and birth, and dies last. It has its handlers before it has the lease.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import msgspec
import psutil

from stackhand import ROOT
from stackhand.failure import Failure
from stackhand.state import State

LOOKS = 0.2
_started: list[subprocess.Popen[str]] = []
"""Kept, for Python complains about a child that is forgotten; this one is to outlive us."""


def start(request: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Start a keeper and return the lease that it took.

    Args:
        request: environment, owner, commit, run, patience; and pid of the playbook.
        tell: told while it waits.

    Raises:
        Failure: there is no lease to be had.
    """
    state = State(ROOT)
    state.make()
    log = (state.logs / f"lease-{request['environment']}.log").open("ab")
    watched = psutil.Process(request["pid"])
    words = [sys.executable, "-m", "stackhand.release.keeper"]
    child = subprocess.Popen(
        words,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )
    log.close()
    assert child.stdin is not None  # noqa: S101 - asked for above
    assert child.stdout is not None  # noqa: S101 - asked for above
    _started.append(child)
    with child.stdin:
        child.stdin.write(json.dumps({**request, "born": watched.create_time()}))
    with child.stdout:
        for line in child.stdout:
            event = json.loads(line)
            if "failure" in event:
                child.wait()
                raise Failure.from_dict(event["failure"])
            if "lease" in event:
                return {**event["lease"], "keeper": child.pid}
            tell(event["waiting"])
    raise Failure(
        "The process that holds the lease ended.",
        evidence=log_tail(state, str(request["environment"])),
        next="repeat the command",
    )


def stop(pid: int) -> None:
    """End a keeper, which gives the lease back if it still has it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if "stackhand.release.keeper" in process.cmdline():
            process.terminate()


def log_tail(state: State, environment: str) -> list[str]:
    """Return the last that a keeper said."""
    from stackhand.loglines import tail

    return tail(state.logs / f"lease-{environment}.log", 5)


def main() -> None:
    """Take the lease that standard input asks for, and hold it until the playbook ends or somebody ends us."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    request = json.load(sys.stdin)
    watched = (int(request["pid"]), float(request["born"]))
    from stackhand import environments
    from stackhand.release.lease import RENEWED, Holder
    from stackhand.release.store import Store

    def pause(seconds: float) -> None:
        if ended.wait(seconds) or not _alive(*watched):
            raise SystemExit(0)

    try:
        holder = Holder(Store(environments.load(request["environment"])), sleep=pause)
        lease = holder.take(
            request["owner"],
            request["commit"],
            request["run"],
            float(request["patience"]),
            lambda text: _say({"waiting": text}),
        )
    except Failure as failure:
        _say({"failure": failure.to_dict()})
        return
    try:
        _say({"lease": msgspec.to_builtins(lease)})
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _hold(holder.renew, lambda: ended.is_set() or not _alive(*watched), RENEWED)
    finally:
        holder.give_back()


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
