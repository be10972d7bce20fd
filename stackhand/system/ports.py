"""Ports of this machine: who holds one, and where a whole block of them is free."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stackhand.system import program

STEP = 10
SHOWN = 60  # letters of a command line
HIGHEST = 65535
LISTENS = re.compile(r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F:]+ 0A (?:\S+ ){3}\s*(\d+)", re.MULTILINE)
"""A line of the kernel's table of sockets: the port, and the account."""


@dataclass(frozen=True)
class Holder:
    """The process that listens at a port, as far as this account may know it.

    Args:
        pid: its number; None when it belongs to another account.
        command: its command line, shortened.
        owner: the account it runs as.
        folder: where it runs, which tells one checkout's stack from another's.
    """

    pid: int | None
    command: str
    owner: str
    folder: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return f"a process of {self.owner}"
        return f"pid {self.pid} ({self.command}) of {self.owner}" + (f" in {self.folder}" if self.folder else "")


def is_free(port: int) -> bool:
    """Whether a server could listen at 127.0.0.1:port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    # BSD lets a second socket bind beside one that listens on every address.
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def holder(port: int) -> Holder:
    """Return who listens at a port that is not free."""
    pid = _listener(port)
    if pid is None:
        return Holder(None, "", _owner_by_kernel(port))
    try:
        process = psutil.Process(pid)
        command = " ".join(" ".join(process.cmdline()).split()) or process.name()
        shown = command if len(command) <= SHOWN else f"{command[: SHOWN - 3]}..."
        return Holder(pid, shown, process.username(), _folder(process))
    except psutil.Error:
        return Holder(pid, "unknown", "another account")


def free_block(ports: Mapping[str, int], used: Collection[int] = ()) -> dict[str, int]:
    """Return the ports moved by one and the same step, so that all of them are free.

    Args:
        ports: the wished numbers, by the setting that names them.
        used: numbers that are not to be taken, free or not.

    Returns:
        The new numbers by setting; the old ones when they are free.
    """
    for step in range(0, HIGHEST, STEP):
        moved = {key: port + step for key, port in ports.items()}
        if max(moved.values(), default=0) > HIGHEST:
            break
        if all(port not in used and is_free(port) for port in moved.values()):
            return moved
    return _any_free(ports)


def _any_free(ports: Mapping[str, int]) -> dict[str, int]:
    """Return ports the kernel hands out: no common step is left."""
    sockets = {key: socket.socket() for key in ports}
    for each in sockets.values():
        each.bind(("127.0.0.1", 0))
    chosen = {key: each.getsockname()[1] for key, each in sockets.items()}
    for each in sockets.values():
        each.close()
    return chosen


def _folder(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


def _listener(port: int) -> int | None:
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                return connection.pid
    except psutil.AccessDenied:  # macOS shows all sockets to root alone; lsof shows us our own
        lsof = shutil.which("lsof")
        if lsof:
            result = program.run([lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"])
            if result.stdout.strip():
                return int(result.stdout.split()[0])
    return None


def by_account() -> dict[int, set[int]]:
    """Return the TCP ports at which something listens, by the numbers of the accounts that opened them.

    Linux tells that of any process to everybody; elsewhere it is empty.
    """
    found: dict[int, set[int]] = defaultdict(set)
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for port, account in LISTENS.findall(Path(table).read_text(encoding="ascii")):
                found[int(account)].add(int(port, 16))
    return found


def _owner_by_kernel(port: int) -> str:
    return next((_account(uid) for uid, ports in by_account().items() if port in ports), "another account")


def _account(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}" if uid != os.getuid() else "this account"
