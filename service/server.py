"""The process: connects its parts, and starts and stops them in order."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from types import FrameType
from typing import Any

import structlog

from service import __version__, logs, redis_client
from service.app import Parts, create_app, takes_body
from service.cache import REDIS_TIMEOUT, Cache
from service.emf import run_emf
from service.health import probes
from service.health import report as health
from service.history.api import HistoryApi
from service.history.recorder import Recorder
from service.history.samples import sample
from service.http.access import Hosts
from service.http.fast_path import FastPath
from service.http.limits import Rules
from service.http.middleware import Middleware, common_headers
from service.http.server import Server
from service.metrics import Metrics, Sources
from service.pool import Pool
from service.settings import Settings
from service.startup import Startup
from service.status import CurrentStatus

log = structlog.get_logger()
FAILED = 1
CANNOT_LISTEN = 3
THREADS_TIMEOUT = 1.0
HISTORY_TIMEOUT = 1.5
"""Seconds in which waiting samples must reach the database."""


def serve(settings: Settings) -> int:
    """Answer requests until SIGTERM or SIGINT and return the exit code.

    `/health` answers at once, and it is ready when the migrations of its release are applied, by a job. A schema that
    does not fit ends the process: on an unknown one, a running service does more harm than none.
    """
    return Process(settings, logs.configure(settings.log_level)).run()


class Process:
    """The parts of the running service."""

    def __init__(self, settings: Settings, out: logs.LogWriter) -> None:
        self.settings = settings
        self._out = out
        self.stopping = threading.Event()
        self.pool = Pool(
            settings.database,
            size=settings.pool_size,
            statement_timeout=settings.statement_timeout,
            down=lambda: self.components["db"].down,
        )
        self.components = probes.components(settings, self.pool)
        self.report = health.Report(self.components, health.Phase(), settings.details_token)
        self.startup = Startup(settings, self.report, self.stopping)
        self.cache = Cache(
            redis_client.client(settings.cache, timeout=REDIS_TIMEOUT),
            prefix=f"stackhand:{settings.stack}:answer",
            ttl=settings.cache_ttl,
            down=lambda: self.components["cache"].down,
        )
        history = HistoryApi(list(self.components), self.pool, self.cache, self._has_schema)
        self.recorder = Recorder(
            settings,
            lambda: {name: sample(each) for name, each in self.components.items()},
            ready=self._has_schema,
            needed=settings.incident_samples,
        )
        status = CurrentStatus(settings, self.report, history)
        self.app = create_app(Parts(settings, self.report, status, history, self._metrics_text))
        routes = {route.rule for route in self.app.routes}
        self.metrics = Metrics(version=__version__, commit=settings.commit, routes=routes)

    def run(self) -> int:
        """See `serve`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle_signal)
        try:
            self.server = self._server()
        except (OSError, ValueError) as error:  # waitress raises ValueError for an unknown host
            log.error("cannot listen", host=self.settings.host, port=self.settings.port, what=str(error))  # noqa: TRY400
            return CANNOT_LISTEN
        sources = Sources(self.components.values(), self.pool, self.cache, self.server.task_dispatcher, self.recorder)
        self.metrics.set_sources(sources)
        log.info("listening", host=self.settings.host, port=self.settings.port, version=__version__)
        for component in self.components.values():
            component.start()
        self.recorder.start()
        self.startup.start()
        threading.Thread(target=self._drain, name="drain", daemon=True).start()
        if self.settings.metrics_emf:
            args = (self.metrics, self.settings, self.stopping, self._write_emf)
            threading.Thread(target=run_emf, args=args, name="metrics", daemon=True).start()
        with contextlib.suppress(SystemExit):
            self.server.run()
        self._close()
        return FAILED if self.startup.failed else 0

    def _server(self) -> Server:
        settings, observe = self.settings, self.metrics.observe
        common = common_headers(settings.stack)
        return Server(
            Middleware(self.app, stack=settings.stack, origins=settings.cors_origins, observe=observe),
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            from_memory=health.is_answered_from_memory,
            fast_path=FastPath(self.report.response, lambda status: common | health.headers(status), observe),
            rules=Rules(takes_body(self.app, settings.notes_token), Hosts(settings.allowed_hosts)),
            refused=self._refused,
        )

    def _refused(self, status: int, code: str, request_id: str, client: str) -> None:
        self.metrics.observe("other", "", status, 0.0)
        log.info("request refused", status=status, code=code, request_id=request_id, client=client)

    def _handle_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.stopping.is_set():
            raise SystemExit  # the second signal: stop at once
        self.stopping.set()

    def _drain(self) -> None:
        """Wait for the stop; then give load balancers time to notice, finish running requests, and end the loop."""
        self.stopping.wait()
        settings = self.settings
        deadline = time.monotonic() + settings.stop_within - THREADS_TIMEOUT - HISTORY_TIMEOUT
        self.report.phase.name = "draining"
        log.info("stopping", grace_s=settings.grace)
        time.sleep(0.0 if self.startup.failed else min(settings.grace, settings.stop_within / 2))
        self.server.stop_accepting()
        if not self.server.wait_until_done(deadline):
            log.warning("requests cut off", after_s=settings.stop_within)
        self.server.end()

    def _has_schema(self) -> bool:
        return self.report.phase.schema_version > 0

    def _metrics_text(self) -> bytes:
        return self.metrics.render()

    def _write_emf(self, document: dict[str, Any]) -> None:
        # unwrapped: CloudWatch reads a line only if it is nothing but the document
        self._out.write(json.dumps(document) + "\n")

    def _close(self) -> None:
        self.recorder.stop(HISTORY_TIMEOUT)
        for component in self.components.values():
            component.stop()
        self.pool.close()
        with contextlib.suppress(OSError):
            self.server.close()
        log.info("stopped")
