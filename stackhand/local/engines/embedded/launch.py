"""Become a service: note who we are, take the service's environment and account, run its program.

supervisord's child runs this instead of the program itself (supervisord.py), and `exec` puts the program in its place.
So the record names the process that runs whoever restarted it, values with quotes and newlines need no escaping, and
secrets stand in no configuration. Only the standard library, for supervisord itself is started by it:

    python -I -S launch.py services/NAME.json
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

RUNS_KEPT = 20


def birth(pid: int) -> str | None:
    """Return what tells this process from a later one with the same number; None when there is no such process.

    On Linux that is the boot and the clock tick at which it started (proc(5): field 22 of /proc/PID/stat);
    elsewhere the time of its start, to the second, as ps(1) tells it.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        return started(pid)
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else f"{boot}:{fields[18]}"


def started(pid: int) -> str | None:
    """Return when a process started, as ps(1) tells it: the same whatever language and zone the asking shell has."""
    args = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    result = subprocess.run(args, env={"LC_ALL": "C", "TZ": "UTC"}, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def read(path: Path, owners: Collection[int]) -> tuple[str, int]:
    """Return the text of a file and its owner, who must be one of these accounts: nobody else's word counts.

    Raises:
        OSError: there is no such file, it is a link, or another account's.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid not in owners or not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "another account's", str(path))
        with os.fdopen(os.dup(descriptor), encoding="utf-8") as file:
            return file.read(), status.st_uid
    finally:
        os.close(descriptor)


def end_remains(groups: list[int]) -> None:
    """Kill what is left of earlier runs of this service: the workers of an nginx outlive a killed master.

    A process in our own session and in one of those process groups can be no one else's.
    """
    if not groups:  # its first run
        return
    ours = os.getsid(0)
    for pid in _all_processes():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == ours and os.getpgid(pid) in groups and pid != os.getpid():
                os.kill(pid, signal.SIGKILL)


def main(path: str, enter: ModuleType | None = None) -> None:
    """Run the service described in the JSON file at `path`; does not return.

    Args:
        path: the file.
        enter: the module `enter`, where this process has it: a command of it as prefix then needs no interpreter.
    """
    spec = json.loads(Path(path).read_text(encoding="utf-8"))
    groups = _note_down(Path(spec["record"]), spec["fingerprint"], spec.get("record_mode", 0o600))
    end_remains(groups)
    os.chdir(spec["directory"])
    os.umask(spec["umask"])
    argv = spec["argv"]
    account = spec["account"]
    if account:
        for output in (1, 2):  # so that the program may open /dev/stdout once it is not root any more
            if stat.S_ISFIFO(os.fstat(output).st_mode):  # supervisord's own end of it is another; no file is given away
                os.fchown(output, account["uid"], account["gid"])
        if enter and account["prefix"][3:4] == [enter.__file__]:
            enter.become(account["prefix"][4])
        elif account["prefix"]:
            argv = account["prefix"] + argv
        else:
            os.setgroups([])
            os.setgid(account["gid"])
            os.setuid(account["uid"])
    try:
        os.execvpe(argv[0], argv, spec["environment"])  # noqa: S606 - the very purpose
    except OSError as error:
        sys.exit(f"cannot run {argv[0]}: {error.strerror}")


def _note_down(record: Path, fingerprint: str, mode: int) -> list[int]:
    """Write the record of this process, and return the process groups of the runs before it."""
    earlier: list[int] = []
    with contextlib.suppress(OSError, ValueError, KeyError):
        before = json.loads(read(record, {os.getuid()})[0])
        earlier = [before["pid"], *before["earlier"]][:RUNS_KEPT]
    pid = os.getpid()
    content: dict[str, object] = {"pid": pid, "birth": birth(pid), "fingerprint": fingerprint, "earlier": earlier}
    content["record"] = str(record)
    draft = record.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(content))
    draft.chmod(mode)
    draft.replace(record)
    return earlier


def _all_processes() -> list[int]:
    if Path("/proc/self").exists():
        return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    result = subprocess.run(["/bin/ps", "-axo", "pid="], capture_output=True, text=True, check=False)
    return [int(word) for word in result.stdout.split()]


if __name__ == "__main__":
    main(sys.argv[1])
