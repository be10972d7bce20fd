"""The files of service/migrations, and what is to be done with them: nothing here talks to a database.

A file is called NNN_small_letters.sql. Numbers order the files; a gap between them is no error, for a file that was
dropped before anybody applied it leaves one. The first lines may have directives, in comments:

`-- migrate: no-transaction`: the file is one statement that PostgreSQL refuses in a transaction, such as
CREATE INDEX CONCURRENTLY. It may be run twice: an interrupted one is simply run again at the next start.

`-- migrate: breaking`: the release before does not work on the schema this file leaves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.migration import lexer
from service.migration.lexer import Statement

FOLDER = Path(__file__).parent.parent / "migrations"
DIRECTIVES = ("breaking", "no-transaction")
APPLIED = "applied"

_NAME = re.compile(r"([0-9]{3})_[a-z0-9_]+\.sql")
_DIRECTIVE = re.compile(r"--\s*migrate\s*:(.*)", re.IGNORECASE)
_BYTE_ORDER_MARK = "\ufeff"


class MigrationError(Exception):
    """The schema cannot be brought up to date; the text says why, and `code` stays the same for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Migration:
    """One file of service/migrations.

    Args:
        number: its place in the order.
        name: the file's name.
        sql: its text, lines ending in LF.
        sha256: of that text.
        breaking: whether the release before does not work on the schema it leaves.
        transaction: whether it runs in one.
    """

    number: int
    name: str
    sql: str
    sha256: str
    breaking: bool = False
    transaction: bool = True


@dataclass(frozen=True)
class Record:
    """What the database knows of one migration: a row of schema_migration.

    Args:
        number: its place in the order.
        name: the file's name.
        sha256: of the file's text.
        applied_at: when it was applied; when its run began, if it is not.
        milliseconds: how long that took.
        state: applied, running or failed; a file that runs in a transaction has a row only when it is applied.
        breaking: whether the release before does not work on the schema it leaves.
        host: that applied it.
        version: of the service that applied it.
    """

    number: int
    name: str
    sha256: str
    applied_at: str = ""
    milliseconds: int = 0
    state: str = APPLIED
    breaking: bool = False
    host: str = ""
    version: str = ""


def read(folder: Path = FOLDER) -> list[Migration]:
    """Return the migrations of a folder in their order.

    Raises:
        MigrationError: there is no folder, or a file's name or text is not as it has to be.
    """
    if not folder.is_dir():
        raise MigrationError("no_folder", f"{folder} is no folder: the image is not complete, build it again")
    paths = sorted(path for path in folder.iterdir() if path.name.lower().endswith(".sql"))
    migrations: dict[int, Migration] = {}
    for path in paths:
        number = number_of(path.name)
        if number in migrations:
            raise MigrationError(
                "duplicate",
                f"{path.name}: {migrations[number].name} has the number {number:03} already, give this one the next",
            )
        migrations[number] = parse(path.name, path.read_bytes())
    return list(migrations.values())


def number_of(name: str) -> int:
    """Return the number in a file's name.

    Raises:
        MigrationError: it is not called NNN_small_letters.sql, or has the number 000.
    """
    match = _NAME.fullmatch(name)
    if match is None or match[1] == "000":
        raise MigrationError("name", f"{name}: a migration is called NNN_small_letters.sql, from 001 on; rename it")
    return int(match[1])


def parse(name: str, content: bytes) -> Migration:
    """Return the migration that a file holds.

    How its lines end, and a byte order mark, are no part of it: neither changes what PostgreSQL does.

    Raises:
        MigrationError: its name or its text is not as it has to be.
    """
    number = number_of(name)
    sql = _decoded(name, content)
    statements = lexer.statements(sql)
    if not statements:
        raise MigrationError("empty", f"{name} has no statement: write one, or delete the file")
    directives = _directives(name, sql, statements[0].start)
    for statement in statements:
        _refuse_statement(f"{name}, line {lexer.line_of(sql, statement.start)}", statement)
    transaction = "no-transaction" not in directives
    if not transaction:
        _refuse_without_transaction(name, statements)
    sha256 = hashlib.sha256(sql.encode()).hexdigest()
    return Migration(number, name, sql, sha256, "breaking" in directives, transaction)


def plan(files: Sequence[Migration], applied: Iterable[Record]) -> list[Migration]:
    """Return the migrations that are to be applied, in their order.

    One that failed, or was interrupted, is to be applied again, whatever its file says by now.

    Args:
        files: all there are, in their order.
        applied: what the database knows.

    Raises:
        MigrationError: the files are not a continuation of what was applied.
    """
    records = {record.number: record for record in applied}
    done = {number: record for number, record in records.items() if record.state == APPLIED}
    for file in files:
        if file.number in done:
            _refuse_changed(file, done[file.number])
    _refuse_unknown(files, records)
    pending = [file for file in files if file.number not in done]
    latest = max(done.values(), key=lambda record: record.number, default=None)
    for file in pending:
        if latest and file.number < latest.number:
            raise MigrationError(
                "out_of_order",
                f"{file.name} is new, but {latest.name} is applied already: give it a number above {latest.number:03}",
            )
    return pending


def _decoded(name: str, content: bytes) -> str:
    try:
        sql = content.decode("utf-8").removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MigrationError("encoding", f"{name}, line {line}: this is not UTF-8; save the file as UTF-8") from None
    if "\0" in sql:
        line = lexer.line_of(sql, sql.index("\0"))
        raise MigrationError("encoding", f"{name}, line {line}: there is a zero byte, which PostgreSQL cannot read")
    return sql.replace("\r\n", "\n").replace("\r", "\n")


def _directives(name: str, sql: str, first: int) -> set[str]:
    """Return the directives of the comments before the first statement."""
    directives: set[str] = set()
    for token in lexer.tokens(sql):
        directive = _DIRECTIVE.fullmatch(token.text) if token.kind == "comment" else None
        if directive is None:
            continue
        line = lexer.line_of(sql, token.start)
        if token.start > first:
            raise MigrationError(
                "directive", f"{name}, line {line}: a directive belongs before the first statement; move it there"
            )
        given = set(directive[1].replace(",", " ").split())
        if not given or not given.issubset(DIRECTIVES):
            raise MigrationError(
                "directive", f"{name}, line {line}: the directives there are: {', '.join(DIRECTIVES)}; fix the line"
            )
        directives |= given
    return directives


def _refuse_statement(place: str, statement: Statement) -> None:
    if lexer.controls_transaction(statement):
        raise MigrationError(
            "transaction",
            f"{place}: {statement.symbols[0]} is not for a migration, whose file is one transaction; take it out",
        )
    if lexer.copies_to_client(statement):
        raise MigrationError("copy", f"{place}: COPY has no data to read here; write INSERT instead")


def _refuse_without_transaction(name: str, statements: Sequence[Statement]) -> None:
    if len(statements) > 1:
        raise MigrationError(
            "several",
            f"{name}: without a transaction it may have one statement, but has {len(statements)}; split the file",
        )
    index = lexer.concurrent_index(statements[0])
    if index and not index.name:
        raise MigrationError(
            "unnamed_index", f"{name}: the index needs a name, for a half-made one is found again by it; give it one"
        )
    if not lexer.may_run_twice(statements[0]):
        raise MigrationError(
            "not_repeatable",
            f"{name}: without a transaction it may be run twice; write IF EXISTS or IF NOT EXISTS into it",
        )


def _refuse_changed(file: Migration, record: Record) -> None:
    if file.sha256 != record.sha256:
        raise MigrationError(
            "edited",
            f"{file.name} was changed after it had been applied; restore it, and put the change into a new file",
        )
    if file.name != record.name:
        raise MigrationError("renamed", f"{file.name} was applied as {record.name}; give the file that name again")


def _refuse_unknown(files: Sequence[Migration], records: Mapping[int, Record]) -> None:
    """Refuse what is applied and has no file, unless a newer release applied it and it breaks nothing.

    What was never completed may go: its file was withdrawn.
    """
    known = {file.number for file in files}
    newest = max(known, default=0)
    unknown = [records[number] for number in sorted(records.keys() - known)]
    for record in unknown:
        if record.number < newest and record.state == APPLIED:
            raise MigrationError("missing", f"{record.name} was applied, but its file is gone; restore the file")
    for record in unknown:
        if record.number > newest and record.breaking:
            raise MigrationError(
                "ahead",
                f"{record.name} is applied, and this release does not work with it; start a release that has the file",
            )
