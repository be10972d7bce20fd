"""The command `python -m service migrate`: apply, or report what is applied, pending or there at all."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from service.database import DatabaseUnavailable
from service.migration import migrate
from service.migration.files import APPLIED, FOLDER, Migration, MigrationError, read
from service.migration.migrate import Status
from service.settings import Settings


def command(settings: Settings, *, status: bool, plan: bool, as_json: bool, folder: Path = FOLDER) -> int:
    """Run `python -m service migrate` and return its exit code: 0 done, 1 refused or failed, 3 no database.

    Args:
        settings: of the service.
        status: only show what is applied and what is not.
        plan: only show what would be applied.
        as_json: one document on stdout, and one on stderr for an error.
        folder: of the files.
    """
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        migrations = read(folder)
        applied = [] if status or plan else migrate.apply(settings, migrations)
        statuses, refused = migrate.inspect(settings, migrations)
    except (MigrationError, DatabaseUnavailable) as error:
        _complain(error, as_json=as_json)
        return 3 if isinstance(error, DatabaseUnavailable) else 1
    finally:
        signal.signal(signal.SIGTERM, before)
    if as_json:
        print(json.dumps(_document(applied, statuses)))
    else:
        print("\n".join(_lines([each for each in statuses if each.state != APPLIED] if plan else statuses)))
    if refused:
        _complain(refused, as_json=as_json)
        return 1
    return 0


def list_files(*, as_json: bool, folder: Path = FOLDER) -> int:
    """Show the migrations that the code has, without a database; return 0, or 1 when a file is wrong."""
    try:
        migrations = read(folder)
    except MigrationError as error:
        _complain(error, as_json=as_json)
        return 1
    if as_json:
        print(json.dumps({"migrations": [_file(each) for each in migrations]}))
    else:
        print("\n".join(f"{each.name}{'  breaking' if each.breaking else ''}" for each in migrations))
    return 0


def _file(migration: Migration) -> dict[str, Any]:
    return {"number": migration.number, "name": migration.name, "breaking": migration.breaking}


def _document(applied: list[str], statuses: list[Status]) -> dict[str, Any]:
    return {
        "applied": applied,
        "pending": [each.name for each in statuses if each.state != APPLIED],
        "migrations": [asdict(each) for each in statuses],
    }


def _lines(statuses: list[Status]) -> list[str]:
    """Return a line for each migration; the columns after the state are aligned."""
    if not statuses:
        return ["nothing is pending"]
    width = max(len(f"{each.name}  {each.state}") for each in statuses)
    return [f"{f'{each.name}  {each.state}':{width}}  {_details(each)}".rstrip() for each in statuses]


def _details(each: Status) -> str:
    parts = []
    if each.applied_at:
        parts = [each.applied_at, f"{each.milliseconds} ms", *([f"by {each.host}"] if each.host else [])]
    notes = [
        text for text, is_so in (("breaking", each.breaking), ("no-transaction", each.transaction is False)) if is_so
    ]
    return "  ".join([*parts, *notes])


def _complain(error: MigrationError | DatabaseUnavailable, *, as_json: bool) -> None:
    print(json.dumps({"error": {"code": error.code, "what": str(error)}}) if as_json else error, file=sys.stderr)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
