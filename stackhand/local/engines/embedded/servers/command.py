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
        port, path = self.service.port, self.embedded.ready
        environment = self._inherited() | {"PATH": _search_path(), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        environment |= self.variables()
        if port is not None:
            environment |= {"HOST": "127.0.0.1", "PORT": str(port)}
        question = health.question(self.service)
        ready = HealthQuestion("http", url=f"http://127.0.0.1:{port}{path}") if path else question
        return self.finished(
            Program(
                name=self.service.name,
                argv=[Template(word).safe_substitute(environment) for word in self._words()],
                environment=environment,
                directory=str(self.stack.root / (self.embedded.working_dir or "")),
                question=question,
                ready=ready,
                address=health.address(self.service),
                ports=[each.published for each in self.service.ports if each.published and each.protocol == "tcp"],
                may_finish=self.service.may_finish,
                job=self.service.job,
                restart=self.service.restart,
                account=self.owner,
            )
        )

    def prepare(self) -> list[str]:
        """Make the home of its account, where it has one of its own."""
        return super().prepare() if self.owner else []

    def hints(self, lines: Sequence[str]) -> list[str]:
        """Return what the command's account may do, for one that was root's before, and is refused something."""
        if self.owner is None or not any(map(DENIED.search, lines)):
            return []
        name, data = self.owner.name, self.data
        return [f"it runs as {name}: it reads world-readable files and writes only below {data} and /tmp"]

    def needed(self) -> list[Path]:
        """Return the folders of the checkout, of the Python that it may run, and of its program."""
        words = self._words()
        program = shutil.which(words[0], path=_search_path()) if words else None
        return [self.stack.root, CONTENT, *PYTHON, *([_installation(Path(program))] if program else [])]

    def _words(self) -> list[str]:
        command = self.embedded.command
        return command if isinstance(command, list) else shlex.split(command or "")

    def _inherited(self) -> dict[str, str]:
        """Return what it gets of our shell; its account may use neither root's home nor root's temporary folder."""
        variables = inherited.environment("service")
        if self.owner:
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


def _search_path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _installation(program: Path) -> Path:
    """Return the folder that a program needs with its libraries, as a Node of nvm's is installed."""
    folder = program.resolve().parent
    return folder.parent if folder.name == "bin" and folder.parent != Path("/") else folder
