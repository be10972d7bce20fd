"""What servers say when the disk is full or their data is damaged, on whichever engine they run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

FULL = ("No space left on device", "Disk quota exceeded")
POSTGRES = (
    "could not read file",
    "invalid page",
    "could not locate a valid checkpoint",
    "invalid checksum",
    "incorrect checksum",
    "pg_control",
    "contains invalid data",
    "could not find redo location",
    "could not access status of transaction",
    "is not a valid data directory",
)
OTHER_POSTGRESQL = (
    "The data directory was initialized by PostgreSQL version",
    "initialized with PG_CONTROL_VERSION",
    "initialized with CATALOG_VERSION_NO",
)
REDIS = (
    "reading the append only file",
    "Unable to obtain the AOF file",
    "AOF MANIFEST FILE ERROR",
    "Invalid AOF manifest file format",
    "error in RDB reading",
    "Short read or OOM loading DB",
    "Wrong signature trying to load DB",
    "Can't handle RDB format version",
)
TRUNCATABLE = re.compile(
    r"(?:Bad file format|Unexpected end of file) reading the append only file (\S+?\.aof)[:.]?(?:\s|$)"
)


def disk_full(lines: Sequence[str]) -> bool:
    """Whether the disk was full."""
    return _says(lines, FULL)


def postgres(lines: Sequence[str]) -> bool:
    """Whether PostgreSQL could not read what it has written; what it may not read is not damaged."""
    readable = [line for line in lines if "permission denied" not in line.lower()]
    return _says(readable, POSTGRES) and not disk_full(lines) and not other_postgresql(lines)


def other_postgresql(lines: Sequence[str]) -> bool:
    """Whether another version of PostgreSQL has written the data."""
    return _says(lines, OTHER_POSTGRESQL)


def redis(lines: Sequence[str]) -> bool:
    """Whether Redis or Valkey could not read what it has written."""
    return _says(lines, REDIS) and not disk_full(lines)


def truncatable(lines: Sequence[str]) -> str | None:
    """Return the append-only file that `valkey-check-aof --fix` can cut off where it is damaged, if it is that."""
    return next((match[1] for match in map(TRUNCATABLE.search, lines) if match), None)


def _says(lines: Sequence[str], signs: Iterable[str]) -> bool:
    lowered = "\n".join(lines).lower()
    return any(sign.lower() in lowered for sign in signs)
