"""Which account runs a service: ours, or one of its own when we are root (docs/decisions/005-root.md).

PostgreSQL needs an account with a name. Every other service runs under a number that has none, so that what one of
them gives away is not another's.

Root's checkouts often lie where no other account may pass (/root, a temporary folder). Then the service gets a view of
the file system that has a way (enter.py). Only where that cannot be had, it gets one capability along,
CAP_DAC_READ_SEARCH, to pass through those folders, and nothing else of root's rights.
"""

from __future__ import annotations

import functools
import grp
import hashlib
import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local.engines.embedded import enter
from stackhand.project import inherited, ownership
from stackhand.system import program

CANDIDATES = ("postgres", "nobody")
NUMBERS = range(61184, 65520)
"""What systemd takes for the same purpose (DynamicUser=), so that no distribution gives them to anybody else."""
TAKEN = Path("/run/systemd/dynamic-uid")
"""Where systemd has a file for each of them that is in use."""
DAC_READ_SEARCH, SETPCAP = 2, 8  # capability numbers of linux/capability.h


@dataclass(frozen=True)
class Account:
    """An account that root hands a service to.

    Args:
        uid: its number.
        gid: its group's number.
        name: as people know it; nothing in what an earlier version wrote down.
        prefix: the command that takes on the account and gives it a way to the checkout; empty: setuid does.
        blocked: the folder that it passes with the capability.
    """

    uid: int
    gid: int
    name: str = ""
    prefix: tuple[str, ...] = ()
    blocked: str = ""

    def arguments(self) -> dict[str, Any]:
        """Return how `subprocess.Popen` takes it on; nothing where the prefix does."""
        return {} if self.prefix else {"user": self.uid, "group": self.gid, "extra_groups": []}


def run(account: Account | None, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program as `account`, or as ourselves when that is None, and return what it said."""
    prefix, become = (account.prefix, account.arguments()) if account else ((), {})
    environment = inherited.environment("server", LANG="C.UTF-8")
    return program.run([*prefix, *argv], environment=environment, folder="/", account=become, merge=True)


def choose(data: Path, needed: Iterable[Path], number: int | None = None) -> Account | None:
    """Return the account for the service whose files are in `data`; None: our own.

    Args:
        data: the service's folder; whoever owns it already is kept, but for an account that others share.
        needed: what the account has to reach.
        number: of the account, for a service that needs none with a name.

    Raises:
        Failure: the account cannot reach it, or the folder is somebody else's.
    """
    owner = _owner(data)
    if os.getuid() != 0:
        if owner not in {None, os.getuid()}:
            raise ownership.closed(data)
        return None
    account = _named(owner) if number is None else _numbered(owner, number)
    return _with_a_way(account, sorted(set(needed)))


def numbers(root: Path, data: Path, services: Iterable[str]) -> dict[str, int]:
    """Return a number for the account of each service of a checkout: the same at each call, and none twice.

    The owners of the services' folders in `data` are kept.
    """
    names = sorted(services)
    owners: dict[str, int] = {}
    for name in names:
        owner = _owner(data / name) or 0
        if owner in NUMBERS and owner not in owners.values() and not _in_use(owner):
            owners[name] = owner
    for name in names:
        if name not in owners:
            free = (each for each in _candidates(root, name) if each not in owners.values())
            owners[name] = next(each for each in free if not _in_use(each) and not (TAKEN / str(each)).exists())
    return owners


def shared(uid: int) -> bool:
    """Whether an account is one of those under which all servers of a stack ran once."""
    return has_name(uid) and pwd.getpwuid(uid).pw_name in CANDIDATES


def has_name(uid: int) -> bool:
    """Whether this machine has a name for an account; a container's may have none."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


_CAN_ENTER: dict[tuple[Path, ...], bool] = {}


def _candidates(root: Path, service: str) -> Iterable[int]:
    digest = hashlib.sha256(f"{root}\0{service}".encode("utf-8", "surrogateescape")).digest()
    first = int.from_bytes(digest[:8], "big") % len(NUMBERS)
    return (*NUMBERS[first:], *NUMBERS[:first])


@functools.cache
def _in_use(number: int) -> bool:
    """Whether a number is that of an account or a group with a name."""
    try:
        grp.getgrgid(number)
    except KeyError:
        return has_name(number)
    return True


def _owner(folder: Path) -> int | None:
    try:
        return folder.lstat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return None


def _named(owner: int | None) -> Account:
    entry = pwd.getpwuid(owner) if owner and has_name(owner) else _unprivileged()
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _numbered(owner: int | None, number: int) -> Account:
    if owner and has_name(owner) and not shared(owner):
        return _named(owner)
    return Account(number, number, f"uid {number}")


def _with_a_way(account: Account, needed: Sequence[Path]) -> Account:
    """Return the account with what it takes to reach all that it needs."""
    places = [*dict.fromkeys(each for path in needed for each in (path.absolute(), path.resolve()))]
    blocked = [folder for path in places for folder in _way(path) if not _passes(account, folder)]
    if not blocked:
        return account
    closed = [folder for folder in blocked if folder in places]  # can be shown, and is closed all the same
    entered = _entering(account, blocked, places)
    if not closed and _can_enter(entered.prefix, tuple(dict.fromkeys(blocked))):
        return entered
    return _let_pass(account, [*closed, *blocked][0])


def _entering(account: Account, blocked: Sequence[Path], places: Iterable[Path]) -> Account:
    tops = [each for each in dict.fromkeys(blocked) if not any(above in blocked for above in each.parents)]
    shown = [str(place) for place in places if any(place.is_relative_to(top) for top in tops)]
    spec = {"uid": account.uid, "gid": account.gid, "closed": [str(top) for top in tops], "shown": sorted(shown)}
    return replace(account, prefix=(sys.executable, "-I", "-S", enter.__file__, json.dumps(spec)))


def _can_enter(prefix: tuple[str, ...], blocked: tuple[Path, ...]) -> bool:
    """Whether this machine lets us have mounts of our own: a container often does not.

    That is tried once for the folders in question, and not for each of 34 accounts: it starts a Python.
    """
    if blocked not in _CAN_ENTER:
        _CAN_ENTER[blocked] = sys.platform == "linux" and run(None, prefix).returncode == 0
    return _CAN_ENTER[blocked]


def _let_pass(account: Account, blocked: Path) -> Account:
    program = shutil.which("setpriv")
    if not program or not _have_capabilities():
        mode = f"{blocked.stat().st_mode & 0o777:o}"
        raise Failure(
            f"No service runs as root, and {account.name}, which must run one, cannot enter {blocked} (mode {mode}).",
            evidence=["options: chmod o+x on that folder; a checkout elsewhere; or run ./inv as an ordinary user"],
            next=f"chmod o+x {shlex.quote(str(blocked))}",
            code=ExitCode.PREFLIGHT,
        )
    prefix = (
        *setpriv(account, program),
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        # Without this bit access(2) drops the capability, and PostgreSQL asks it about its own programs.
        "--securebits=+no_setuid_fixup",
    )
    return replace(account, prefix=prefix, blocked=str(blocked))


def setpriv(account: Account, program: str = "setpriv") -> tuple[str, ...]:
    """Return the command that takes on an account."""
    return program, f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"


def _have_capabilities() -> bool:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    return all(effective >> number & 1 for number in (DAC_READ_SEARCH, SETPCAP))


def _way(path: Path) -> list[Path]:
    """Return the folders on the way to a path, from the top."""
    return [folder for folder in (*reversed(path.parents), path) if folder.is_dir()]


def _passes(account: Account, folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & 0o100)
    return bool(status.st_mode & (0o010 if status.st_gid == account.gid else 0o001))


def _unprivileged() -> pwd.struct_passwd:
    for name in CANDIDATES:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise Failure(
        f"PostgreSQL does not run as root, and this machine lacks the accounts {', '.join(CANDIDATES)}.",
        next="run ./inv as an ordinary account",
        code=ExitCode.PREFLIGHT,
    )
