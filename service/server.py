"""The process: probes, migrations, history and waitress, from the first request to SIGTERM."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from types import FrameType
from typing import Any

import structlog

from service import __version__, logs, migrate, redis_client
from service.app import Parts, answers, at_once, create_app, health_headers, takes_body
from service.cache import Cache
from service.database import DatabaseUnavailable
from service.emf import run_emf
from service.health import probes
from service.health.component import Component, Probe
from service.health.report import Phase, Report
from service.history import before
from service.history.api import HistoryApi
from service.history.sampler import Recorder
from service.history.samples import Reading
from service.http.hosts import Hosts
from service.http.lane import Lane
from service.http.limits import Rules
from service.http.middleware import Middleware, common_headers
from service.http.server import Server
from service.metrics import Metrics, Sources
from service.pool import Pool
from service.settings import Settings

log = structlog.get_logger()
FAILED = 1
CANNOT_LISTEN = 3
EXHAUSTED_FOR = 10.0
"""Seconds for which the database has a warning after its pool had no connection left."""
THREADS_END_WITHIN = 1.0
HISTORY_ENDS_WITHIN = 1.5
"""Seconds that the samples that wait have to reach the database."""
MIGRATES_AGAIN_AFTER = 1.0
"""Seconds after which a database that did not come in time, or went away, is asked again."""
CACHE_WITHIN = 0.25
"""Seconds that each read from Redis may take in a request."""


def serve(settings: Settings) -> int:
    """Answer requests until SIGTERM or SIGINT and return the exit code.

    `/health` answers at once; the migrations run meanwhile, and a failed one ends the process, for a service on
    a schema it does not know does more harm than none.
    """
    return Process(settings, logs.configure(settings.log_level)).run()


class Process:
    """All parts of the running service, and the order in which they begin and end."""

    def __init__(self, settings: Settings, out: logs.Writer) -> None:
        self.settings = settings
        self._out = out
        self.phase = Phase()
        self.pool = Pool(
            settings.database,
            size=settings.pool_size,
            statement_timeout=settings.statement_timeout,
            down=lambda: self.components["db"].down,
        )
        self.components = _components(settings, self.pool)
        self.report = Report(self.components, self.phase, settings.details_token)
        self.cache = Cache(
            redis_client.client(settings.cache, timeout=CACHE_WITHIN),
            prefix=f"stackhand:{settings.stack}:answer",
            ttl=settings.cache_ttl,
            down=lambda: self.components["cache"].down,
        )
        self.history = HistoryApi(settings, self.report, self.pool, self.cache, self._has_schema)
        self.recorder = Recorder(settings, self._readings, ready=self._has_schema, needed=settings.incident_samples)
        self.app = create_app(Parts(settings, self.report, self.history, self._metrics_text))
        routes = {route.rule for route in self.app.routes}
        self.metrics = Metrics(version=__version__, commit=settings.commit, routes=routes)
        self.leaving = threading.Event()
        self.failed = False

    def run(self) -> int:
        """See `serve`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_leave)
        try:
            self.server = self._server()
        except (OSError, ValueError) as error:  # waitress has the latter for a host that it cannot find
            log.error("cannot listen", host=self.settings.host, port=self.settings.port, what=str(error))  # noqa: TRY400
            return CANNOT_LISTEN
        sources = Sources(self.components.values(), self.pool, self.cache, self.server.task_dispatcher, self.recorder)
        self.metrics.set_sources(sources)
        log.info("listening", host=self.settings.host, port=self.settings.port, version=__version__)
        for component in self.components.values():
            component.start()
        self.recorder.start()
        threading.Thread(target=self._remember, name="remember", daemon=True).start()
        threading.Thread(target=self._migrate, name="migrate", daemon=True).start()
        threading.Thread(target=self._leave, name="leave", daemon=True).start()
        if self.settings.metrics_emf:
            words = (self.metrics, self.settings, self.leaving, self._write_emf)
            threading.Thread(target=run_emf, args=words, name="metrics", daemon=True).start()
        with contextlib.suppress(SystemExit):
            self.server.run()
        self._close()
        return FAILED if self.failed else 0

    def _server(self) -> Server:
        common = common_headers(self.settings.stack)
        lane = Lane(answers(self.report), lambda status: common | health_headers(status), self.metrics.observe)
        wrapped = Middleware(
            self.app, stack=self.settings.stack, origins=self.settings.cors_origins, observe=self.metrics.observe
        )
        return Server(
            wrapped,
            host=self.settings.host,
            port=self.settings.port,
            threads=self.settings.threads,
            at_once=at_once,
            lane=lane,
            rules=Rules(takes_body(self.app, self.settings.notes_token), Hosts(self.settings.allowed_hosts)),
            refused=self._refused,
        )

    def _refused(self, status: int, code: str, request_id: str, client: str) -> None:
        self.metrics.observe("other", "", status, 0.0)
        log.info("request refused", status=status, code=code, request_id=request_id, client=client)

    def _migrate(self) -> None:
        self.phase.name = "migrating"
        try:
            applied, version = self._migrated()
        except migrate.MigrationError as error:
            if not self.leaving.is_set():
                log.error("migration failed", code=error.code, what=str(error))  # noqa: TRY400 - it says all
                self._fail()
            return
        except Exception:  # a defect; a process that said "migrating" for ever would hide it
            log.exception("migration failed", code="internal")
            self._fail()
            return
        if self.leaving.is_set():
            return
        self.phase.schema_version = version
        self.phase.name = "ready"
        log.info("ready", applied=applied, schema_version=version)

    def _migrated(self) -> tuple[list[str], int]:
        """Return what was applied, and the number of the newest migration that the database has.

        It waits for the database for as long as it takes: without us nobody could be told that it is the database.
        """
        migrations = migrate.read()
        while not self.leaving.is_set():
            try:
                applied = migrate.apply(self.settings, migrations, stop=self.leaving)
                found = migrate.status(self.settings, migrations)
            except DatabaseUnavailable as error:
                if not self.leaving.wait(MIGRATES_AGAIN_AFTER):
                    log.warning("migration waits for the database", code=error.code, what=str(error))
            else:
                return applied, max((each.number for each in found if each.applied_at), default=0)
        return [], 0

    def _fail(self) -> None:
        self.failed = True
        self.leaving.set()

    def _asked_to_leave(self, _number: int, _frame: FrameType | None) -> None:
        if self.leaving.is_set():
            raise SystemExit  # asked twice: at once
        self.leaving.set()

    def _leave(self) -> None:
        """Wait for the wish to end, then let load balancers notice, finish what was begun, and end the loop."""
        self.leaving.wait()
        deadline = time.monotonic() + self.settings.stop_within - THREADS_END_WITHIN - HISTORY_ENDS_WITHIN
        self.phase.name = "draining"
        log.info("stopping", grace_s=self.settings.grace)
        time.sleep(0.0 if self.failed else min(self.settings.grace, self.settings.stop_within / 2))
        self.server.stop_accepting()
        if not self.server.wait_until_done(deadline):
            log.warning("requests cut off", after_s=self.settings.stop_within)
        self.server.end()

    def _readings(self) -> dict[str, Reading]:
        found = {}
        for name, component in self.components.items():
            last = component.state.last
            latency = last.latency_ms if last and last.status != "fail" else None
            found[name] = Reading(name, component.status, latency, last.code if last else "")
        return found

    def _remember(self) -> None:
        """Tell the components what was known of them just before: an outage that goes on is no slow start."""
        try:
            known = before.statuses(self.settings, list(self.components))
        except Exception:  # a defect; without it each component has the whole grace
            log.exception("what was known before could not be read")
            return
        for name, status in known.items():
            self.components[name].remember(status)

    def _has_schema(self) -> bool:
        return self.phase.schema_version > 0

    def _metrics_text(self) -> bytes:
        return self.metrics.render()

    def _write_emf(self, document: dict[str, Any]) -> None:
        # as it is: CloudWatch reads a line only when nothing else is around the document
        self._out.write(json.dumps(document) + "\n")

    def _close(self) -> None:
        self.recorder.stop(HISTORY_ENDS_WITHIN)
        for component in self.components.values():
            component.stop()
        self.pool.close()
        with contextlib.suppress(OSError):
            self.server.close()
        log.info("stopped")


def _components(settings: Settings, pool: Pool) -> dict[str, Component]:
    deadline = settings.probe_deadline

    def pool_warning() -> str:
        return "pool_exhausted" if time.monotonic() - pool.exhausted_at < EXHAUSTED_FOR else ""

    def component(name: str, kind: str, probe: Probe, *, critical: bool = False) -> Component:
        return Component(
            name,
            kind,
            probe,
            interval=settings.probe_interval,
            deadline=deadline,
            rise=settings.health_rise,
            fall=settings.health_fall,
            grace=settings.start_grace,
            critical=critical,
        )

    found = [
        component("db", "datastore", probes.Postgres(settings.database, deadline, pool_warning), critical=True),
        component("cache", "datastore", probes.Redis(settings.cache, deadline)),
    ]
    found += [component(name, "component", probes.Http(url, deadline)) for name, url in settings.health_targets]
    return {each.name: each for each in found}
