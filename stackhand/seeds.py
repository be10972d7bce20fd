"""One file of `seeds/`: loaded whole, or not at all.

A file that ends the transaction itself would be kept in part. The server finds that out: a deferred constraint, checked
at COMMIT, fails unless the file has come to its end; and after a ROLLBACK, transactions may only read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.failure import Failure

if TYPE_CHECKING:
    from stackhand.database import Database

OWN_END = "stackhand: the file ends its transaction itself"
WHOLE = f"""
CREATE FUNCTION pg_temp.stackhand_whole() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('stackhand.whole', true) IS DISTINCT FROM 'yes' THEN RAISE EXCEPTION '{OWN_END}'; END IF;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE CONSTRAINT TRIGGER whole AFTER INSERT ON pg_temp.stackhand_seed DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION pg_temp.stackhand_whole()
"""
BEGIN = ("BEGIN READ WRITE", "INSERT INTO pg_temp.stackhand_seed VALUES (1)")
READ_ONLY = "SET default_transaction_read_only = on"
BEFORE = ("CREATE TEMPORARY TABLE stackhand_seed (n int)", WHOLE, TRIGGER, READ_ONLY, *BEGIN)
AT_ITS_END = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_temp.stackhand_seed) THEN RAISE EXCEPTION '{OWN_END}'; END IF;
    PERFORM set_config('stackhand.whole', 'yes', true);
END $$
"""
AFTER = (AT_ITS_END, "COMMIT")
ROWS = re.compile(r"^(?:INSERT 0|UPDATE|DELETE|MERGE|COPY) (\d+)$", re.MULTILINE)


def load(database: Database, path: Path) -> int:
    """Load a file, and return how many rows its statements wrote.

    Raises:
        Failure: it cannot be loaded; nothing of it is kept.
    """
    before, after = ([word for each in part for word in ("-c", each)] for part in (BEFORE, AFTER))
    words = ["-XtA", "-v", "ON_ERROR_STOP=1", *before, "-f", "-", *after]
    try:
        with path.open("rb") as source:
            said = database.run("psql", *words, source=source)
    except Failure as failure:
        raise _refused(path, failure) from failure
    return sum(map(int, ROWS.findall(said))) - 1  # ours


def _refused(path: Path, failure: Failure) -> Failure:
    what, next_command = f"{path.name} was not loaded.", f"fix seeds/{path.name}, then ./inv db.seed"
    if any(OWN_END in line or "in a read-only transaction" in line for line in failure.evidence):
        what = f"{path.name} was not loaded: it ends its transaction itself, so that a part of it might be kept."
        next_command = f"take BEGIN, COMMIT and ROLLBACK out of seeds/{path.name}, then ./inv db.seed"
    return Failure(what, evidence=failure.evidence, next=next_command)
