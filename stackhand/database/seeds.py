"""One file of `seeds/`: loaded whole, or not at all.

A file that ends the transaction itself would be kept in part. The server finds that out: a cursor WITH HOLD is run to
its end at COMMIT, and ours fails unless the file has come to its end; and after a ROLLBACK, transactions may only read.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.cli.failure import Failure

if TYPE_CHECKING:
    from stackhand.database.postgres import PostgreSQL

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


def load(database: PostgreSQL, path: Path) -> int:
    """Load a file, and return how many rows its statements wrote.

    Raises:
        Failure: it cannot be loaded; nothing of it is kept.
    """
    before, after = ([word for each in part for word in ("-c", each)] for part in (BEFORE, AFTER))
    args = [*before, "-f", "-", *after]
    try:
        output = _run(database, path, "-c", rf"\restrict {secrets.token_hex(16)}", *args)
    except Failure as failure:
        if OLD not in " ".join(failure.evidence):
            raise _refused(path, failure) from failure
        try:
            output = _run(database, path, *args)
        except Failure as again:
            raise _refused(path, again) from again
    return sum(map(int, ROWS.findall(output)))


def _run(database: PostgreSQL, path: Path, *args: str) -> str:
    with path.open("rb") as source:
        return database.run("psql", "-XtA", "-v", "ON_ERROR_STOP=1", *args, source=source)


def _refused(path: Path, failure: Failure) -> Failure:
    what, next_command = f"{path.name} was not loaded.", f"fix seeds/{path.name}, then ./inv db.seed"
    if any(OWN_END in line or "in a read-only transaction" in line for line in failure.evidence):
        what = f"{path.name} was not loaded: it ends its own transaction, so part of it could be kept."
        next_command = f"remove BEGIN, COMMIT and ROLLBACK from seeds/{path.name}, then ./inv db.seed"
    return Failure(what, evidence=failure.evidence, next=next_command)
