"""The metrics of the service, as Prometheus text; service/emf.py formats them for CloudWatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from service.cache import Cache
    from service.health.component import Component
    from service.history.recorder import Recorder
    from service.http.dispatch import Dispatcher
    from service.pool import Pool

__all__ = ["CONTENT_TYPE", "Metrics", "Sources"]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STATES = ("pass", "warn", "fail", "unknown")
BREAKER = {"closed": "closed", "open": "open", "half_open": "half_open", "trying": "half_open"}
"""States of the breaker by label; the label "trying" is the former name of half_open, and stays for one release."""
OTHER = "other"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Sources:
    """The objects that a request for metrics reads; None for those that do not exist.

    Args:
        components: of the health report.
        pool: of connections to the database.
        cache: of answers.
        dispatcher: of requests.
        history: of samples.
    """

    components: Iterable[Component] = ()
    pool: Pool | None = None
    cache: Cache | None = None
    dispatcher: Dispatcher | None = None
    history: Recorder | None = None


class Metrics:
    """The metrics of one process.

    Args:
        version: of the service.
        commit: of its source.
        routes: templates of all routes, such as /health/<name>; any other route counts as "other".
    """

    def __init__(self, *, version: str, commit: str, routes: Iterable[str]) -> None:
        self._routes = frozenset(routes)
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "stackhand_http_request_duration_seconds",
            "Time from the header of the request to the end of the response",
            ("method", "route", "status"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._collector = _SourceCollector(version, commit)
        self._registry.register(self._collector)

    def set_sources(self, sources: Sources) -> None:
        """Set the sources; before that, their metrics are missing."""
        self._collector.sources = sources

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            method: of the request.
            route: template of the route, or a path that matches one; empty if there is none.
            status: of the response.
            seconds: duration of the request.
        """
        # Known names only, so that names invented by clients do not fill the memory.
        key = (method if method in METHODS else OTHER, self._template(route), status // 100)
        observer = self._observers.get(key)
        if observer is None:
            family = f"{key[2]}xx" if key[2] in range(1, 6) else OTHER
            observer = self._observers[key] = self._requests.labels(key[0], key[1], family).observe
        observer(seconds)

    def render(self) -> bytes:
        """Return all metrics as Prometheus text of type CONTENT_TYPE."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Return the current metrics, for another format."""
        return iter(self._registry.collect())

    def _template(self, route: str) -> str:
        if route in self._routes:
            return route
        start, _, last = route.rpartition("/")
        return f"{start}/<name>" if last and f"{start}/<name>" in self._routes else OTHER


class _SourceCollector(Collector):
    """Reads its sources only when metrics are requested."""

    def __init__(self, version: str, commit: str) -> None:
        self.sources = Sources()
        self._build = (version, commit)
        self._failed: dict[str, int] = {}

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client; a failing source is skipped and counted."""
        build = GaugeMetricFamily(
            "stackhand_build_info", "Version and commit of the service", labels=("version", "commit")
        )
        build.add_metric(self._build, 1)
        yield build
        sources = self.sources
        parts: dict[str, Callable[[], Iterable[Metric]]] = {
            "components": lambda: _components(sources.components),
            "pool": lambda: _pool(sources.pool) if sources.pool else (),
            "cache": lambda: _cache(sources.cache) if sources.cache else (),
            "dispatcher": lambda: _dispatcher(sources.dispatcher) if sources.dispatcher else (),
            "history": lambda: _history(sources.history) if sources.history else (),
        }
        for name, collect in parts.items():
            try:
                yield from list(collect())
            except Exception:
                self._failed[name] = self._failed.get(name, 0) + 1
        failed = CounterMetricFamily("stackhand_metrics_failed", "Sources that could not be read", labels=("source",))
        for name, count in self._failed.items():
            failed.add_metric((name,), count)
        yield failed


def _components(components: Iterable[Component]) -> Iterator[Metric]:
    state = GaugeMetricFamily("stackhand_component_state", "1 for the current state", labels=("component", "state"))
    latency = GaugeMetricFamily("stackhand_probe_latency_seconds", "Latency of the last probe", labels=("component",))
    age = GaugeMetricFamily("stackhand_probe_age_seconds", "Time since the last probe", labels=("component",))
    for component in components:
        for name in STATES:
            state.add_metric((component.name, name), float(component.status == name))
        last, seconds = component.state.last, component.age
        if last is not None and seconds is not None:
            latency.add_metric((component.name,), last.latency_ms / 1000)
            age.add_metric((component.name,), seconds)
    yield from (state, latency, age)


def _pool(pool: Pool) -> Iterator[Metric]:
    yield GaugeMetricFamily("stackhand_pool_in_use", "Database connections in use", pool.in_use)
    yield GaugeMetricFamily("stackhand_pool_size", "Maximum number of database connections", pool.size)
    yield CounterMetricFamily("stackhand_pool_exhausted", "Requests without a free connection", value=pool.exhaustions)


def _cache(cache: Cache) -> Iterator[Metric]:
    requests = CounterMetricFamily("stackhand_cache_requests", "Cache requests by result", labels=("result",))
    for result in sorted({"hit", "miss"} | set(cache.counts)):
        requests.add_metric((result,), cache.counts.get(result, 0))
    errors = CounterMetricFamily("stackhand_cache_errors", "Failures of Redis", labels=("reason",))
    for reason, count in sorted(cache.errors.items()):
        errors.add_metric((reason,), count)
    breaker = GaugeMetricFamily("stackhand_cache_breaker", "1 for the current state", labels=("state",))
    now = cache.breaker
    for label, state in BREAKER.items():
        breaker.add_metric((label,), float(now == state))
    yield from (requests, errors, breaker)


def _dispatcher(dispatcher: Dispatcher) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "stackhand_http_requests_in_progress", "Requests that threads answer now", dispatcher.active_count
    )
    yield GaugeMetricFamily("stackhand_http_queue_depth", "Requests that wait for a thread", len(dispatcher.queue))
    yield GaugeMetricFamily("stackhand_http_threads", "Threads that answer requests", len(dispatcher.threads))


def _history(history: Recorder) -> Iterator[Metric]:
    yield GaugeMetricFamily("stackhand_history_waiting", "Rounds of samples not yet written", history.waiting)
    yield CounterMetricFamily("stackhand_history_dropped", "Lost rounds of samples", value=history.dropped)
