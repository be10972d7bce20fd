"""The bad nights of a rehearsal: an environment is destroyed, data is lost; both come back from a snapshot."""

from __future__ import annotations

import re

from stackhand.cli.failure import Failure
from stackhand.containers import docker
from stackhand.rehearsal.scenario import Rehearsal

WRITTEN = "written before it was destroyed"
LOGIN = 'psql -h /var/run/postgresql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v ON_ERROR_STOP=1 -Atc "$0"'


def play(rehearsal: Rehearsal) -> None:
    """Destroy the environment, and deploy it from what it left; damage its data, and go back to before.

    Raises:
        Failure: data is lost.
    """
    rehearsal.copy.back(rehearsal.good)
    _sql(rehearsal, f"CREATE TABLE rehearsed AS SELECT '{WRITTEN}' AS word")
    lines = rehearsal.verb("destroy", "destroy", "--yes")
    snapshot = _named(lines)
    rehearsal.deploy("from its snapshot", rehearsal.good, "--from-snapshot", snapshot)
    _require(rehearsal, "from its snapshot")
    _sql(rehearsal, "DROP TABLE rehearsed")
    rehearsal.deploy("back to it", rehearsal.good, "--from-snapshot", snapshot, "--replace-database")
    _require(rehearsal, "back to it")


def _named(lines: list[str]) -> str:
    """Return the snapshot that a destroyed environment has named."""
    named = re.search(r"--from-snapshot (\S+) starts from it", "\n".join(lines))
    if named is None:
        raise Failure("./inv destroy printed no snapshot.", evidence=lines[-5:])
    return named[1]


def _require(rehearsal: Rehearsal, step: str) -> None:
    word = _sql(rehearsal, "SELECT word FROM rehearsed")
    if word != WRITTEN:
        raise Failure(f"After the step {step!r} the database lacks the data that was written.", evidence=[word])


def _sql(rehearsal: Rehearsal, sql: str) -> str:
    """Run SQL in the one database of the emulator."""
    databases = docker.run("ps", "--quiet", "--filter", "label=ministack=rds").stdout.split()
    ours = [each for each in databases if each in rehearsal.aws.containers()]
    if not ours:
        raise Failure("There is no database to rehearse a restore.", next="./inv rehearse without --restore")
    result = docker.run("exec", ours[0], "sh", "-c", LOGIN, sql)
    return (result.stdout or result.stderr).strip()
