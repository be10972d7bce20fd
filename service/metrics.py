"""What the service counts and measures, as Prometheus text and in CloudWatch's embedded metric format."""

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
    from service.history.sampler import Recorder
    from service.http.dispatch import Dispatcher
    from service.pool import Pool

__all__ = ["CONTENT_TYPE", "Metrics", "Sources"]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STATES = ("pass", "warn", "fail", "unknown")
BREAKER = ("closed", "open", "trying")
OTHER = "other"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Sources:
    """What is looked at when somebody asks for the metrics; None for what there is not.

    Args:
        components: what health reports on.
        pool: of connections to the database.
        cache: of answers.
        dispatcher: of requests.
        history: of probes.
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
        commit: it was built from.
        routes: templates of the routes there are, such as /health/<name>; every other one counts as "other".
    """

    def __init__(self, *, version: str, commit: str, routes: Iterable[str]) -> None:
        self._routes = frozenset(routes)
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "stackhand_http_request_duration_seconds",
            "Time from the request's head to the end of the response",
            ("method", "route", "status"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._watched = _Watched(version, commit)
        self._registry.register(self._watched)

    def set_sources(self, sources: Sources) -> None:
        """Say what to look at when somebody asks; until then what is only looked at is missing."""
        self._watched.sources = sources

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            method: of the request.
            route: template of the route, or a path that is a template's; empty when there was none.
            status: of the response.
            seconds: it took.
        """
        # Known names only, so that what callers invent does not fill the memory.
        key = (method if method in METHODS else OTHER, self._template(route), status // 100)
        observer = self._observers.get(key)
        if observer is None:
            family = f"{key[2]}xx" if key[2] in range(1, 6) else OTHER
            observer = self._observers[key] = self._requests.labels(key[0], key[1], family).observe
        observer(seconds)

    def render(self) -> bytes:
        """Return all as Prometheus text, of the kind CONTENT_TYPE."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Return all of now, for who writes it in another format."""
        return iter(self._registry.collect())

    def _template(self, route: str) -> str:
        if route in self._routes:
            return route
        start, _, last = route.rpartition("/")
        return f"{start}/<name>" if last and f"{start}/<name>" in self._routes else OTHER


class _Watched(Collector):
    """What is looked at when somebody asks, and costs nothing until then."""

    def __init__(self, version: str, commit: str) -> None:
        self.sources = Sources()
        self._build = (version, commit)
        self._failed: dict[str, int] = {}

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client; a source that fails is left out, and counted."""
        build = GaugeMetricFamily("stackhand_build_info", "What runs", labels=("version", "commit"))
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
        for name, look in parts.items():
            try:
                yield from list(look())
            except Exception:
                self._failed[name] = self._failed.get(name, 0) + 1
        failed = CounterMetricFamily("stackhand_metrics_failed", "Sources that could not be read", labels=("source",))
        for name, count in self._failed.items():
            failed.add_metric((name,), count)
        yield failed


def _components(components: Iterable[Component]) -> Iterator[Metric]:
    state = GaugeMetricFamily("stackhand_component_state", "1 for the state it is in", labels=("component", "state"))
    latency = GaugeMetricFamily("stackhand_probe_latency_seconds", "Of the last probe", labels=("component",))
    age = GaugeMetricFamily("stackhand_probe_age_seconds", "Since the last probe ended", labels=("component",))
    for component in components:
        for name in STATES:
            state.add_metric((component.name, name), float(component.status == name))
        last, seconds = component.state.last, component.age
        if last is not None and seconds is not None:
            latency.add_metric((component.name,), last.latency_ms / 1000)
            age.add_metric((component.name,), seconds)
    yield from (state, latency, age)


def _pool(pool: Pool) -> Iterator[Metric]:
    yield GaugeMetricFamily("stackhand_pool_in_use", "Connections to the database that are taken", pool.in_use)
    yield GaugeMetricFamily("stackhand_pool_size", "Connections to the database at most", pool.size)
    yield CounterMetricFamily("stackhand_pool_exhausted", "Requests that got no connection", value=pool.exhaustions)


def _cache(cache: Cache) -> Iterator[Metric]:
    requests = CounterMetricFamily("stackhand_cache_requests", "What came of asking the cache", labels=("result",))
    for result in sorted({"hit", "miss"} | set(cache.counts)):
        requests.add_metric((result,), cache.counts.get(result, 0))
    errors = CounterMetricFamily("stackhand_cache_errors", "Failures of Redis", labels=("reason",))
    for reason, count in sorted(cache.errors.items()):
        errors.add_metric((reason,), count)
    breaker = GaugeMetricFamily("stackhand_cache_breaker", "1 for the state it is in", labels=("state",))
    now = cache.breaker
    for state in BREAKER:
        breaker.add_metric((state,), float(now == state))
    yield from (requests, errors, breaker)


def _dispatcher(dispatcher: Dispatcher) -> Iterator[Metric]:
    yield GaugeMetricFamily("stackhand_http_requests_in_progress", "By threads", dispatcher.active_count)
    yield GaugeMetricFamily("stackhand_http_queue_depth", "Requests that wait for a thread", len(dispatcher.queue))
    yield GaugeMetricFamily("stackhand_http_threads", "Threads that answer requests", len(dispatcher.threads))


def _history(history: Recorder) -> Iterator[Metric]:
    yield GaugeMetricFamily("stackhand_history_waiting", "Rounds of samples not written yet", history.waiting)
    yield CounterMetricFamily("stackhand_history_dropped", "Rounds of samples that were lost", value=history.dropped)
