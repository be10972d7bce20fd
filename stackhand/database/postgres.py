"""PostgreSQL: reached with its own programs, so that a snapshot is an ordinary `pg_dump` file."""

from __future__ import annotations

import copy
import re
import secrets
from pathlib import Path
from typing import ClassVar

import msgspec

from stackhand.cli.failure import Failure
from stackhand.database import outside, restore
from stackhand.database.outside import Outside
from stackhand.database.server import Command, Database, Statistics
from stackhand.local.engines import login
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.login import SUPERUSER, Login
from stackhand.project import ownership
from stackhand.project.stack.model import Service

PSQL = ("-XqAt", "-v", "ON_ERROR_STOP=1")
CATALOG_ONLY = "SET search_path TO pg_catalog"
OWN_END = "stackhand: the file ends its transaction itself"
WHOLE = f"""
CREATE FUNCTION pg_temp.stackhand_whole() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('stackhand.whole', true) IS DISTINCT FROM 'yes' THEN RAISE EXCEPTION '{OWN_END}'; END IF;
END $$
"""
READ_ONLY = "SET default_transaction_read_only = on"
GUARD = "DECLARE stackhand_whole CURSOR WITH HOLD FOR SELECT pg_temp.stackhand_whole()"
BEFORE = (WHOLE, READ_ONLY, "BEGIN READ WRITE", "SET LOCAL stackhand.whole = 'no'", GUARD)
AT_ITS_END = f"""
DO $$ BEGIN
    IF current_setting('stackhand.whole', true) IS DISTINCT FROM 'no' THEN RAISE EXCEPTION '{OWN_END}'; END IF;
    PERFORM set_config('stackhand.whole', 'yes', true);
END $$
"""
AFTER = (AT_ITS_END, "COMMIT")
OLD = r"invalid command \restrict"
r"""A psql from before August 2025, which cannot keep commands of its own (\! runs a program) out of a file."""
ROWS = re.compile(r"^(?:INSERT 0|UPDATE|DELETE|MERGE|COPY) (\d+)$", re.MULTILINE)


class PostgreSQL(Database):
    """A PostgreSQL of the running stack.

    All verbs connect as the owner of the database. What an owner cannot do (end the sessions of others, and make the
    role that a dump is restored as) is done by `superuser()`.
    """

    title = "PostgreSQL"
    suffix = ".dump"
    question = ("psql", "-XqAt", "-c", "SELECT 1")
    verbs = Database.verbs | {"db.seed", "db.note"}
    files: ClassVar = ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB")
    login: Login | None = None

    def __init__(self, engine: Engine, service: Service) -> None:
        super().__init__(engine, service)
        self.owner, _, self.name = login.wanted(self.service)

    def superuser(self) -> PostgreSQL:
        """Return the same server, connected to as its superuser; none but statements of our own go there."""
        return self.connected(SUPERUSER, self.name)

    def connected(self, login: Login, name: str) -> PostgreSQL:
        """Return a database of the same server, connected to as somebody else."""
        connected = copy.copy(self)
        connected.login, connected.name = login, name
        return connected

    def command(self, tool: str, *, database: str = "", interactive: bool = False) -> Command:
        """Return how one of PostgreSQL's programs is run: psql, pg_dump or pg_restore."""
        name = database or self.name
        return self.engine.client(self.service, tool, name, login=self.login, interactive=interactive)

    def script(self, text: str, *args: str, database: str | None = None) -> str:
        """Run what psql reads from standard input, and return what it prints."""
        return self.run("psql", *PSQL, *args, database=database, source=text)

    def run_secret(self, statement: str) -> None:
        """Run a statement with a secret in it: by standard input, and kept out of the server's log."""
        text = f"{login.UNLOGGED};\n{statement};\n"
        self.script(text, "-v", "VERBOSITY=terse", "-f", "-", database=self._elsewhere)

    def sql(self, *statements: str, database: str | None = None) -> str:
        """Run statements, one by one, with psql; stop at the first that fails.

        Args:
            statements: of SQL.
            database: where; any but the stack's own, unless it is named.
        """
        args = [word for statement in statements for word in ("-c", statement)]
        return self.run("psql", *PSQL, *args, database=database or self._elsewhere)

    def names(self, query: str, database: str | None = None) -> list[str]:
        """Return a query's one column; a name may have any character in it, such as the end of a line."""
        listed = f"SELECT coalesce(json_agg(name), '[]') FROM ({query}) AS names(name)"  # noqa: S608 - ours
        return msgspec.json.decode(self.sql(listed, database=database), type=list[str])

    @property
    def _elsewhere(self) -> str:
        return "template1" if self.name == "postgres" else "postgres"

    def attempt_sql(self, *statements: str, database: str | None = None) -> list[str]:
        """Run statements as `sql` does, and return why that failed; nothing when it did not."""
        try:
            self.sql(*statements, database=database)
        except Failure as failure:
            return list(failure.evidence)
        return []

    def dump(self, path: Path) -> None:
        """Write the dump, and beside it what it does not contain."""
        beside = outside.beside(path)
        ownership.write(beside, msgspec.json.format(msgspec.json.encode(self.outside())))
        try:
            # an owner may not read what other roles have in it, nor subscriptions
            self.superuser().write(path, "pg_dump", "--format=custom")
        finally:
            if not path.exists():
                beside.unlink(missing_ok=True)

    def replace(self, source: Path | None) -> list[str]:
        """Put another database in its place: the new one is complete before the old one goes."""
        own = [] if source else self.outside().database
        notes = restore.replace(self, source)
        if own:
            notes.append(f"{len(own)} settings and grants of the database itself are removed; the snapshot has them")
        return notes

    def load(self, path: Path) -> int:
        """Load a file of `seeds/`, whole or not at all, and return how many rows its statements wrote.

        A file that ends the transaction itself would be kept in part. The server finds that out: a cursor WITH HOLD is
        run to its end at COMMIT, and ours fails unless the file has come to its end; and after a ROLLBACK, transactions
        may only read.

        Raises:
            Failure: it cannot be loaded; nothing of it is kept.
        """
        before, after = ([word for each in part for word in ("-c", each)] for part in (BEFORE, AFTER))
        psql, args = ("psql", "-XtA", "-v", "ON_ERROR_STOP=1"), [*before, "-f", "-", *after]
        try:
            try:
                output = self.run(*psql, "-c", rf"\restrict {secrets.token_hex(16)}", *args, source=path)
            except Failure as failure:
                if OLD not in " ".join(failure.evidence):
                    raise
                output = self.run(*psql, *args, source=path)
        except Failure as failure:
            raise _refused(path, failure) from failure
        return sum(map(int, ROWS.findall(output)))

    def statistics(self) -> Statistics:
        """Return version, size and connections."""
        version, size, connections = self.sql(
            "SHOW server_version",
            "SELECT pg_database_size(current_database())",
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
            database=self.name,
        ).splitlines()
        return Statistics(version, int(size), int(connections))

    def outside(self) -> Outside:
        """Return what belongs to the database as it is now and is not in its dump."""
        return msgspec.json.decode(self.sql(CATALOG_ONLY, outside.QUERY, database=self.name), type=Outside)


def _refused(path: Path, failure: Failure) -> Failure:
    what, next_command = f"{path.name} was not loaded.", f"fix seeds/{path.name}, then ./inv db.seed"
    if any(OWN_END in line or "in a read-only transaction" in line for line in failure.evidence):
        what = f"{path.name} was not loaded: it ends its own transaction, so part of it could be kept."
        next_command = f"remove BEGIN, COMMIT and ROLLBACK from seeds/{path.name}, then ./inv db.seed"
    return Failure(what, evidence=failure.evidence, next=next_command)
