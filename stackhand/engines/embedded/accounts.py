"""Which account runs the servers: ours, or an unprivileged one when we are root, for PostgreSQL refuses root.

Root's checkouts often lie where no other account may pass (/root, a temporary folder). Then the account gets
one capability along, CAP_DAC_READ_SEARCH, to pass through those folders, and nothing else of root's rights
(docs/decisions/005-root.md).
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackhand import inherited, ownership
from stackhand.failure import ExitCode, Failure

CANDIDATES = ("postgres", "nobody")
DAC_READ_SEARCH, SETPCAP = 2, 8  # capability numbers of linux/capability.h


@dataclass(frozen=True)
class Account:
    """An account that root hands a server to.

    Args:
        name: as people know it.
        uid: its number.
        gid: its group's number.
        prefix: the command that takes on the account and lets it pass to the checkout; empty: setuid does.
        blocked: the folder it could not pass by itself.
    """

    name: str
    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    blocked: str = ""

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a program as this account and return what it said."""
        if self.prefix:
            return _said([*self.prefix, *argv])
        return _said(argv, user=self.uid, group=self.gid, extra_groups=[])


def run(account: Account | None, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program as `account`, or as ourselves when that is None, and return what it said."""
    return account.run(argv) if account else _said(argv)


def choose(data: Path, needed: Iterable[Path]) -> Account | None:
    """Return the account for the server whose files are in `data`; None: our own.

    Args:
        data: the server's folder; whoever owns it already is kept.
        needed: what the account has to reach.

    Raises:
        Failure: the account cannot reach it, or the folder is somebody else's.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.getuid() != 0:
        if owner not in {None, os.getuid()}:
            raise ownership.closed(data)
        return None
    entry = pwd.getpwuid(owner) if owner and has_name(owner) else _unprivileged()
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    blocked = next((folder for path in needed for folder in _way(path) if not _passes(account, folder)), None)
    return account if blocked is None else _let_pass(account, blocked)


def _let_pass(account: Account, blocked: Path) -> Account:
    setpriv = shutil.which("setpriv")
    if not setpriv or not _have_capabilities():
        mode = f"{blocked.stat().st_mode & 0o777:o}"
        raise Failure(
            f"PostgreSQL does not run as root, so {account.name} runs it, who cannot enter {blocked} (mode {mode}).",
            evidence=["ways out: chmod o+x on that folder; a checkout elsewhere; or an ordinary account for all of it"],
            next=f"chmod o+x {shlex.quote(str(blocked))}",
            code=ExitCode.PREFLIGHT,
        )
    prefix = (
        setpriv,
        f"--reuid={account.uid}",
        f"--regid={account.gid}",
        "--clear-groups",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        # Without this bit access(2) drops the capability, and PostgreSQL asks it about its own programs.
        "--securebits=+no_setuid_fixup",
    )
    return Account(account.name, account.uid, account.gid, prefix, str(blocked))


def _have_capabilities() -> bool:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    return all(effective >> number & 1 for number in (DAC_READ_SEARCH, SETPCAP))


def _way(path: Path) -> list[Path]:
    """Return the folders on the way to a path, from the top."""
    return [folder for folder in (*reversed(path.resolve().parents), path.resolve()) if folder.is_dir()]


def _passes(account: Account, folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == account.gid else 0o001))


def _unprivileged() -> pwd.struct_passwd:
    for name in CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Failure(
        f"PostgreSQL does not run as root, and this machine has none of the accounts {', '.join(CANDIDATES)}.",
        next="run ./inv as an ordinary account",
        code=ExitCode.PREFLIGHT,
    )


def has_name(uid: int) -> bool:
    """Whether this machine has a name for an account; a container's may have none."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _said(argv: Sequence[str], **account: object) -> subprocess.CompletedProcess[str]:
    environment = inherited.environment("server", LANG="C.UTF-8")
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env=environment,
        **account,
    )
