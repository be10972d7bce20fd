"""MongoDB: reached with mongosh and the database tools in the containers of its own image.

The password is in the environment of the client inside the container: mongosh reads it there, and the tools from a file
that the shell makes of it. It is on no command line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import msgspec

from stackhand.database.server import Command, Database, Statistics, first
from stackhand.local.engines.engine import Engine
from stackhand.project import inherited
from stackhand.project.stack.model import Service

SHELL = "mongosh"
URI, CONFIG = "STACKHAND_URI", "STACKHAND_CONFIG"
CONNECT = f"db = connect(process.env.{URI})"
WITH_CONFIG = f'exec "$@" --config=/dev/fd/3 3<<END\n${CONFIG}\nEND\n'
STATISTICS = (
    "const stats = db.stats(), status = db.serverStatus();"
    "print(JSON.stringify({version: status.version, size_bytes: stats.totalSize || stats.storageSize || 0,"
    " connections: status.connections.current}))"
)


class MongoDB(Database):
    """A MongoDB of the running stack."""

    title = "MongoDB"
    suffix = ".archive"
    question = (SHELL, "--eval", "db.hello()")
    files: ClassVar = ("MONGO_INITDB_ROOT_USERNAME", "MONGO_INITDB_ROOT_PASSWORD", "MONGO_INITDB_DATABASE")

    def __init__(self, engine: Engine, service: Service) -> None:
        super().__init__(engine, service)
        self._user, self._password, self.name = (first(self.service, name) for name in self.files)

    def shell(self) -> Command:
        """Return how mongosh is run for a person."""
        argv, environment = super().shell()
        return [*argv, "--shell"], environment

    def command(self, tool: str, *, database: str = "", interactive: bool = False) -> Command:
        """Return how mongosh, mongodump or mongorestore is run in the container."""
        name = database or self.name
        if tool == SHELL:
            login = f"{quote(self._user, safe='')}:{quote(self._password, safe='')}@" if self._user else ""
            uri = f"mongodb://{login}127.0.0.1:27017/{quote(name, safe='')}{'?authSource=admin' if login else ''}"
            inside = self.engine.execute(self.service, "--env", URI, interactive=interactive)
            return [*inside, SHELL, "--quiet", "--nodb", "--eval", CONNECT], inherited.environment(
                "docker", **{URI: uri}
            )
        if not self._user:
            return [*self.engine.execute(self.service), tool], inherited.environment("docker")
        inside = self.engine.execute(self.service, "--env", CONFIG)
        login_args = [f"--username={self._user}", "--authenticationDatabase=admin"]
        config = json.dumps({"password": self._password})  # which is YAML, too
        return [*inside, "sh", "-c", WITH_CONFIG, "sh", tool, *login_args], inherited.environment(
            "docker", **{CONFIG: config}
        )

    def dump(self, path: Path) -> None:
        """Write the archive."""
        self.write(path, "mongodump", "--quiet", f"--db={self.name}", "--archive")

    def replace(self, source: Path | None) -> list[str]:
        """Put another database in its place; an archive that cannot be read changes nothing."""
        if source:
            self._load(source, "--dryRun")
        self.run(SHELL, "--eval", "db.dropDatabase()")
        if source:
            self._load(source)
        return []

    def statistics(self) -> Statistics:
        """Return version, size and connections."""
        answer = self.run(SHELL, "--eval", STATISTICS).splitlines()[-1]
        return msgspec.json.decode(answer, type=Statistics)

    def _load(self, source: Path, *flags: str) -> None:
        self.run("mongorestore", "--quiet", "--archive", *flags, source=source)
