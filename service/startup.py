"""What happens in the background of a start: the wait for the schema, and the state before the start."""

from __future__ import annotations

import threading

import structlog

from service.database import DatabaseUnavailable
from service.health.report import Report
from service.history import last_known
from service.migration import migrate
from service.migration.files import APPLIED
from service.settings import Settings

log = structlog.get_logger()
RETRY_AFTER = 0.5
"""Seconds before the next attempt, when the database is unavailable or lacks migrations."""


class Startup:
    """Brings a process from starting to ready.

    Args:
        settings: of this process.
        report: its phase and components.
        stopping: set when the process should stop; a schema that does not fit sets it, too.
    """

    def __init__(self, settings: Settings, report: Report, stopping: threading.Event) -> None:
        self.failed = False
        self._settings = settings
        self._report = report
        self._stopping = stopping

    def start(self) -> None:
        """Start the threads."""
        threading.Thread(target=self._remember, name="remember", daemon=True).start()
        threading.Thread(target=self._await_schema, name="schema", daemon=True).start()

    def _remember(self) -> None:
        """Give the components their status before the start: a continuing outage is not a slow start."""
        components = self._report.components
        try:
            known = last_known.statuses(self._settings, list(components))
        except Exception:  # a defect; without the statuses each component has the full grace
            log.exception("the status before the start could not be read")
            return
        for name, status in known.items():
            components[name].remember(status)

    def _await_schema(self) -> None:
        phase = self._report.phase
        phase.name = "migrating"
        try:
            version = self._schema_version()
        except migrate.MigrationError as error:
            if not self._stopping.is_set():
                log.error("migration failed", code=error.code, what=str(error))  # noqa: TRY400 - the message suffices
                self._fail()
            return
        except Exception:  # a defect must not leave the process in the phase "migrating" for ever
            log.exception("migration failed", code="internal")
            self._fail()
            return
        if self._stopping.is_set():
            return
        phase.schema_version = version
        phase.name = "ready"
        log.info("ready", schema_version=version)

    def _schema_version(self) -> int:
        """Return the newest migration in the database, as soon as all those of this release are applied.

        It waits without a limit: only a running service can report that the database is down. A job applies them.
        """
        migrations = migrate.read()
        reported: list[str] = []
        while not self._stopping.is_set():
            try:
                statuses, refused = migrate.inspect(self._settings, migrations, stop=self._stopping)
            except DatabaseUnavailable as error:
                log.warning("migration waits for the database", code=error.code, what=str(error))
            else:
                if refused:
                    raise refused
                pending = [each.name for each in statuses if each.state != APPLIED]
                if not pending:
                    return max((each.number for each in statuses if each.applied_at), default=0)
                if pending != reported:
                    log.warning("waiting for migrations", pending=pending, command="python -m service migrate")
                    reported = pending
            self._stopping.wait(RETRY_AFTER)
        return 0

    def _fail(self) -> None:
        self.failed = True
        self._stopping.set()
