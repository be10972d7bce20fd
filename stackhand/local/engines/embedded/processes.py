"""The processes this checkout started: which of them live, and how to end those that nobody supervises."""

from __future__ import annotations

import errno
import os
import signal
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from stackhand.local.engines.embedded import launch
from stackhand.local.engines.embedded.launch import birth
from stackhand.project import ownership
from stackhand.system import ports as port_numbers
from stackhand.system import waiting

SUPERVISOR = "supervisord"


class Supervised(msgspec.Struct, frozen=True):
    """What supervisord knows of a program: its state, the process that runs, and how the last one ended."""

    statename: str = ""
    pid: int = 0
    exitstatus: int = 0


class _Note(msgspec.Struct):
    """A record's file, as launch.py writes it."""

    pid: int
    birth: str | None
    fingerprint: str
    earlier: tuple[int, ...]
    record: str = ""


UNKNOWN = Supervised()  # of a program that supervisord does not know, or because it does not answer


@dataclass(frozen=True)
class Record:
    """A process as it noted itself down when it started.

    Args:
        name: the service, or `supervisord`.
        pid: its number, which may be somebody else's by now.
        birth: what tells it from a later process of that number.
        fingerprint: what it was started from.
        earlier: the numbers of the runs before it, whose children may be left.
        owner: the account that noted it down; root's may run as any other, and everybody else's only as its own.
    """

    name: str
    pid: int
    birth: str
    fingerprint: str
    earlier: tuple[int, ...] = ()
    owner: int = 0

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return birth(self.pid) == self.birth


def read(run: Path, name: str) -> Record | None:
    """Return the record of a service, dead or alive; None when there is none, a damaged one, or another's.

    Whoever wrote one names the processes that we end, so it must be ours: the file, and the folder that it is in.

    Raises:
        PermissionError: there is one that this account may not read.
        Failure: others can put records into the folder.
    """
    path = run / f"{name}.json"
    try:
        ownership.require(run)
        text, owner = launch.read(path, ownership.trusted())
        note = msgspec.json.decode(text, type=_Note)
        if note.record and _of_another(path, Path(note.record)):
            return None
    except PermissionError:
        raise
    except (OSError, ValueError):
        return None
    return Record(name, note.pid, str(note.birth), note.fingerprint, note.earlier, owner)


def runs(run: Path, name: str) -> bool:
    """Whether the process of a service's record is alive."""
    record = read(run, name) if run.exists() else None
    return record is not None and record.alive


def _of_another(path: Path, written: Path) -> bool:
    """Whether a record came here with a copy of the checkout that wrote it; one that was moved leaves none behind."""
    return written != path and written.exists() and not written.samefile(path)


def records(run: Path) -> dict[str, Record]:
    """Return all records of a run folder by name.

    Raises:
        Failure: there is such a folder, and it is another account's, or others can put records into it.
    """
    try:
        ownership.require(run)
        paths = sorted(run.iterdir())  # not glob(), which takes a folder that cannot be listed for an empty one
    except (FileNotFoundError, NotADirectoryError):
        return {}
    records = (read(run, path.stem) for path in paths if path.suffix == ".json")
    return {record.name: record for record in records if record}


def living(records: dict[str, Record]) -> list[psutil.Process]:
    """Return the processes of the records that live, with what they started in their process groups.

    supervisord is the leader of a session and each service that of a process group in it. A session's number
    stays taken while it has members, so such a session whose leader is either dead or the recorded one, and in
    it one of the recorded groups, cannot be anybody else's.
    """
    return _members(records.get(SUPERVISOR), _groups(records.values()))


def remains(run: Path, names: Iterable[str]) -> list[psutil.Process]:
    """Return what services have left in their process groups, known as `living` knows it."""
    known = [record for name in names if (record := read(run, name))]
    return _members(read(run, SUPERVISOR), _groups(known)) if known else []


def _groups(records: Iterable[Record]) -> set[int]:
    return {pid for record in records for pid in (record.pid, *record.earlier)}


def _members(session: Record | None, groups: set[int]) -> list[psutil.Process]:
    if session is None or not (session.alive or birth(session.pid) is None):
        return []
    members = []
    for process in psutil.process_iter():
        try:
            ours = (
                os.getsid(process.pid) == session.pid
                and os.getpgid(process.pid) in groups
                and session.owner in {0, process.uids().real}
            )
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return members


def end(processes: Iterable[psutil.Process], timeout: float, polite: Mapping[int, int] | None = None) -> None:
    """End processes: politely, and after `timeout` seconds not.

    psutil compares the start time before it signals, so a number that was reused meanwhile is left alone.
    SIGCONT follows each signal, for a stopped process acts on none.

    Args:
        processes: what to end.
        timeout: seconds until SIGKILL.
        polite: the first signal by process number, where it is not SIGTERM.
    """
    waiting = list(processes)
    for last_resort, wait in ((False, timeout), (True, 2.0)):
        for process in waiting:
            try:
                asked = (polite or {}).get(process.pid, signal.SIGTERM)
                process.send_signal(signal.SIGKILL if last_resort else asked)
                process.send_signal(signal.SIGCONT)
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied as error:
                message = f"process {process.pid} belongs to another account"
                raise PermissionError(errno.EPERM, message) from error
        waiting = _still_running(waiting, wait)
        if not waiting:
            return


def _still_running(processes: list[psutil.Process], timeout: float) -> list[psutil.Process]:
    for _ in waiting.polls(timeout, 0.02):
        processes = [process for process in processes if birth(process.pid) is not None and process.is_running()]
        if not processes:
            break
    return processes


def families(pids: Iterable[int]) -> dict[int, set[int]]:
    """Return processes with all that they started, by their numbers."""
    children = defaultdict[int, set[int]](set)
    for process in psutil.process_iter(["ppid"]):
        children[process.info["ppid"] or 0].add(process.pid)
    return {pid: _descendants(pid, children) for pid in pids}


def _descendants(pid: int, children: Mapping[int, set[int]]) -> set[int]:
    return {pid}.union(*(_descendants(each, children) for each in children.get(pid, ())))


def listening(pids: Collection[int]) -> dict[int, set[int]]:
    """Return the TCP ports at which processes listen, by their numbers.

    psutil reads the kernel's table of all connections for each process, so it is read once where that is allowed.
    """
    ports: dict[int, set[int]] = {pid: set() for pid in pids}
    try:
        connections = [(each.pid, each) for each in psutil.net_connections("tcp")] if len(pids) > 1 else _each(pids)
    except psutil.Error:  # macOS shows it to root alone
        connections = _each(pids)
    for pid, each in connections:
        if pid in ports and each.laddr and each.status == psutil.CONN_LISTEN:
            ports[pid].add(each.laddr.port)
    if hidden := {pid: uid for pid in pids if (uid := _hidden_account(pid)) is not None}:
        by_account = port_numbers.by_account()
        ports |= {pid: by_account.get(uid, set()) for pid, uid in hidden.items()}
    return ports


def _hidden_account(pid: int) -> int | None:
    """Return the account of a process whose sockets we may not see, though we are root.

    Root in a container has no CAP_SYS_PTRACE, and each service runs as an account of its own: that one tells its ports.
    """
    if os.geteuid() != 0:
        return None
    try:
        Path(f"/proc/{pid}/fd/0").readlink()
    except PermissionError:
        with suppress(psutil.Error):
            return psutil.Process(pid).uids().real
    except OSError:
        pass
    return None


def _each(pids: Iterable[int]) -> list[tuple[int, Any]]:
    connections = []
    for pid in pids:
        with suppress(psutil.Error):
            connections += [(pid, each) for each in psutil.Process(pid).net_connections("tcp")]
    return connections
