"""A service that is any program: `x-embedded: {command: ...}`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from string import Template

from stackhand import inherited
from stackhand.engines import health
from stackhand.engines.embedded.servers.base import Program, Server, digest_of


class Command(Server):
    """Runs the command from the checkout, with the service's own environment and PORT and HOST to listen at."""

    def program(self) -> Program:
        """Return the command with its variables filled in."""
        assert self.service.embedded is not None  # noqa: S101 - see server_for
        embedded, port = self.service.embedded, self.service.port
        environment = inherited.environment("service") | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }
        environment |= self.variables()
        if port is not None:
            environment |= {"HOST": "127.0.0.1", "PORT": str(port)}
        words = embedded.command if isinstance(embedded.command, list) else shlex.split(embedded.command or "")
        question = health.question(self.service)
        ready = {"kind": "http", "url": f"http://127.0.0.1:{port}{embedded.ready}"} if embedded.ready else question
        return self.finished(
            Program(
                name=self.service.name,
                argv=[Template(word).safe_substitute(environment) for word in words],
                environment=environment,
                directory=str(self.stack.root),
                question=question,
                ready=ready,
                address=health.address(self.service),
                ports=[each.published for each in self.service.ports],
                may_finish=self.service.may_finish,
                job=self.service.job,
                restart=self.service.restart,
            )
        )

    def sources(self) -> str:
        """Return a digest of the folder its image would be built from, unless that is the whole checkout."""
        folder = Path(self.service.build.sources) if self.service.build else Path()
        if folder == Path() or not (self.stack.root / folder).is_dir():
            return ""
        files = (path for path in (self.stack.root / folder).rglob("*") if path.is_file())
        return digest_of(path for path in files if "__pycache__" not in path.parts)
