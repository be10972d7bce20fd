"""A service that is any program: `x-embedded: {command: ...}`."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

from stackhand.local.engines import health
from stackhand.local.engines.embedded import folders
from stackhand.local.engines.embedded.accounts import Account
from stackhand.local.engines.embedded.servers.base import Program, Server, digest_of
from stackhand.project import inherited
from stackhand.project.memory import HealthQuestion
from stackhand.system.roots import CONTENT

DENIED = re.compile(r"permission denied|EACCES|EPERM|Errno 13", re.IGNORECASE)
PYTHON = (Path(sys.prefix), Path(sys.base_prefix))
"""Where the Python is that a command finds first."""


class Command(Server):
    """Runs the command from the checkout, with the service's own environment and PORT and HOST to listen at."""

    def program(self) -> Program:
        """Return the command with its variables filled in."""
        assert self.service.embedded is not None  # noqa: S101 - see server_for
        embedded, port = self.service.embedded, self.service.port
        args = _words(embedded.command)
        account = self._account(args)
        environment = self._inherited(account) | {
            "PATH": _search_path(),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }
        environment |= self.variables()
        if port is not None:
            environment |= {"HOST": "127.0.0.1", "PORT": str(port)}
        question = health.question(self.service)
        ready = HealthQuestion("http", url=f"http://127.0.0.1:{port}{embedded.ready}") if embedded.ready else question
        return self.finished(
            Program(
                name=self.service.name,
                argv=[Template(word).safe_substitute(environment) for word in args],
                environment=environment,
                directory=str(self.stack.root / (embedded.working_dir or "")),
                question=question,
                ready=ready,
                address=health.address(self.service),
                ports=[each.published for each in self.service.ports if each.published and each.protocol == "tcp"],
                may_finish=self.service.may_finish,
                job=self.service.job,
                restart=self.service.restart,
                account=account,
            )
        )

    def prepare(self) -> list[str]:
        """Make the home of its account."""
        assert self.service.embedded is not None  # noqa: S101 - see server_for
        account = self._account(_words(self.service.embedded.command))
        if account:
            folders.make(self.data, account)
        return self.let_through(account)

    def hints(self, lines: Sequence[str]) -> list[str]:
        """Return what the command's account may do, for one that was root's before, and is refused something."""
        assert self.service.embedded is not None  # noqa: S101 - see server_for
        account = self._account(_words(self.service.embedded.command))
        if account is None or not any(DENIED.search(line) for line in lines):
            return []
        return [f"it runs as {account.name}: it reads world-readable files and writes only below {self.data} and /tmp"]

    def _account(self, args: Sequence[str]) -> Account | None:
        program = shutil.which(args[0], path=_search_path()) if args else None
        return self.account(self.stack.root, CONTENT, *PYTHON, *([_installation(Path(program))] if program else []))

    def _inherited(self, account: Account | None) -> dict[str, str]:
        """Return what it gets of our shell; its account may use neither root's home nor root's temporary folder."""
        variables = inherited.environment("service")
        if account:
            variables.pop("TMPDIR", None)
            variables |= {"HOME": str(self.data), "USER": self.service.name, "LOGNAME": self.service.name}
        return variables

    def sources(self) -> str:
        """Return a digest of the folder its image would be built from, unless that is the whole checkout."""
        folder = Path(self.service.build.sources) if self.service.build else Path()
        if folder == Path() or not (self.stack.root / folder).is_dir():
            return ""
        files = (path for path in (self.stack.root / folder).rglob("*") if path.is_file())
        return digest_of(path for path in files if "__pycache__" not in path.parts)


def _words(command: str | list[str] | None) -> list[str]:
    return command if isinstance(command, list) else shlex.split(command or "")


def _search_path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _installation(program: Path) -> Path:
    """Return the folder that a program needs with its libraries, as a Node of nvm's is installed."""
    folder = program.resolve().parent
    return folder.parent if folder.name == "bin" and folder.parent != Path("/") else folder
