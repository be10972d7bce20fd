"""MySQL and MariaDB: reached with the client programs in the containers of their own images.

A snapshot is what mysqldump or mariadb-dump writes. Neither server can rename a database, so it is loaded twice: beside
the present database first, which shows that it is whole, and in its place then.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from stackhand.cli.failure import ExitCode, Failure
from stackhand.database.server import Command, Database, Statistics, first
from stackhand.local.engines.engine import Engine
from stackhand.project import inherited
from stackhand.project.stack.model import Service

CLIENT, DUMP = "mysql", "mysqldump"
OF_MARIADB = {CLIENT: "mariadb", DUMP: "mariadb-dump"}
EXECUTE = 'mariadb=$1 mysql=$2; shift 2; exec "$(command -v "$mariadb" || command -v "$mysql")" "$@"'
UTF8 = "--default-character-set=utf8mb4"
WHOLE = ("--single-transaction", "--routines", "--triggers", "--events", "--hex-blob", "--no-tablespaces")
STRICT = ("--batch", "--skip-column-names", "--binary-mode")
"""With the last one, a script cannot have commands of the client in it: `system` runs a program."""
LONGEST_NAME = 64
STATISTICS = """
SELECT VERSION();
SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = DATABASE();
SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID();
"""
CHARACTERS = """
SELECT CONCAT('CHARACTER SET ', default_character_set_name, ' COLLATE ', default_collation_name)
FROM information_schema.schemata WHERE schema_name = DATABASE()
"""


class MySQL(Database):
    """A MySQL or MariaDB of the running stack.

    Its shell is the application's user, where the image makes one; dumps are written and loaded as root.
    """

    title = "MySQL"
    suffix = ".sql"
    question = (CLIENT, "--execute=SELECT 1")
    files: ClassVar = tuple(
        f"{image}_{name}"
        for image in ("MARIADB", "MYSQL")
        for name in ("ROOT_PASSWORD", "USER", "PASSWORD", "DATABASE")
    )

    def __init__(self, engine: Engine, service: Service) -> None:
        super().__init__(engine, service)
        self.name = self._value("DATABASE")

    def _value(self, name: str) -> str:
        return first(self.service, f"MARIADB_{name}", f"MYSQL_{name}")

    def _login(self, *, root: bool) -> tuple[str, str]:
        """Return user and password: root's, where that is asked for or there is no other, and known."""
        user, password = self._value("USER"), self._value("ROOT_PASSWORD")
        empty = first(self.service, "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", "MYSQL_ALLOW_EMPTY_PASSWORD")
        if (root or not user) and (password or empty):
            return "root", password
        return user, self._value("PASSWORD")

    def command(self, tool: str, *, database: str = "", interactive: bool = False) -> Command:
        """Return how the client or the dump program is run in the container: that of MariaDB, where it has that."""
        user, password = self._login(root=not interactive)
        inside = self.engine.execute(self.service, "--env", "MYSQL_PWD", interactive=interactive)
        args = ["sh", "-c", EXECUTE, "sh", OF_MARIADB[tool], tool, f"--user={user}", UTF8]
        named = [f"--database={database or self.name}"] if tool == CLIENT and (database or self.name) else []
        return [*inside, *args, *named], inherited.environment("docker", MYSQL_PWD=password)

    def dump(self, path: Path) -> None:
        """Write the dump."""
        self.write(path, DUMP, *WHOLE, self.name)

    def replace(self, source: Path | None) -> list[str]:
        """Put another database in its place; a snapshot that cannot be loaded changes nothing."""
        self._require_root()
        characters = self.run(CLIENT, *STRICT, f"--execute={CHARACTERS}").strip()
        if source:
            draft = f"{self.name[: LONGEST_NAME - len('_stackhand_new')]}_stackhand_new"
            try:
                self._make(draft, characters)
                self.run(CLIENT, *STRICT, database=draft, source=source)
            finally:
                self._statement(f"DROP DATABASE IF EXISTS {_quoted(draft)}")
        self._make(self.name, characters)
        if source:
            self.run(CLIENT, *STRICT, source=source)
        return []

    def statistics(self) -> Statistics:
        """Return version, size and connections."""
        version, size, connections = self.run(CLIENT, *STRICT, f"--execute={STATISTICS}").splitlines()
        return Statistics(version, int(size), int(connections))

    def _require_root(self) -> None:
        if self._login(root=True)[0] != "root":
            raise Failure(
                f"Only root can replace a database, and the password of {self.service.name}'s root is unknown.",
                next=f"set {self.files[4]} in its environment to root's password, then repeat the command",
                code=ExitCode.PREFLIGHT,
            )

    def _make(self, name: str, characters: str) -> None:
        self._statement(f"DROP DATABASE IF EXISTS {_quoted(name)}; CREATE DATABASE {_quoted(name)} {characters}")

    def _statement(self, statement: str) -> None:
        self.run(CLIENT, f"--execute={statement}", database="information_schema")


def _quoted(name: str) -> str:
    return "`{}`".format(name.replace("`", "``"))
