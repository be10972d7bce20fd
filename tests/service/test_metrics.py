"""Metrics for Prometheus."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service import redis_client
from service.cache import Cache
from service.health.component import Component
from service.metrics import Metrics, Sources
from service.pool import Pool
from tests.service.pool_kit import at_once
from tests.service.stub_metrics import NOWHERE, ROUTES, make_metrics, make_sources


def read(metrics: Metrics) -> dict[str, float]:
    """Return the samples as Prometheus reads them."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def requests(metrics: Metrics) -> dict[str, float]:
    start = "stackhand_http_request_duration_seconds_count "
    return {name.removeprefix(start): value for name, value in read(metrics).items() if name.startswith(start)}


@pytest.fixture
def metrics() -> Metrics:
    return make_metrics()


@pytest.fixture
def sources() -> Sources:
    return make_sources()


def test_requests_are_counted_by_method_route_and_status_class(metrics: Metrics) -> None:
    for status in (200, 204, 503):
        metrics.observe("GET", "/api/status", status, 0.02)
    assert requests(metrics) == {
        "method=GET route=/api/status status=2xx": 2,
        "method=GET route=/api/status status=5xx": 1,
    }
    found = read(metrics)
    bucket = "stackhand_http_request_duration_seconds_bucket le={} method=GET route=/api/status status=2xx"
    assert (found[bucket.format("0.01")], found[bucket.format("0.025")]) == (0, 2)


def test_path_counts_for_its_template(metrics: Metrics) -> None:
    for path in ("/health", "/health/db", "/health/all", "/health/<name>"):
        metrics.observe("GET", path, 200, 0.0)
    assert requests(metrics) == {
        "method=GET route=/health status=2xx": 1,
        "method=GET route=/health/<name> status=2xx": 3,
    }


def test_unknown_names_do_not_grow_the_metrics(metrics: Metrics) -> None:
    for number in range(500):
        metrics.observe(f"X{number}", f"/{number}/x", 600 + number, 0.0)
        metrics.observe("GET", f"/{number}", 404, 0.0)
        metrics.observe("GET", "", 404, 0.0)
    assert requests(metrics) == {
        "method=other route=other status=other": 500,
        "method=GET route=other status=4xx": 1000,
    }


def test_concurrent_requests_are_all_counted(metrics: Metrics) -> None:
    assert at_once(16, lambda: [metrics.observe("GET", "/health", 200, 0.0) for _ in range(200)]) == []
    assert requests(metrics) == {"method=GET route=/health status=2xx": 3200}


def test_sources_are_read_on_request(metrics: Metrics, sources: Sources) -> None:
    metrics.set_sources(sources)
    found = read(metrics)
    expected = {
        "stackhand_build_info commit=abc version=1.2.3": 1,
        "stackhand_component_state component=db state=pass": 1,
        "stackhand_component_state component=db state=fail": 0,
        "stackhand_component_state component=cache state=unknown": 1,
        "stackhand_probe_latency_seconds component=db": 0.0025,
        "stackhand_probe_age_seconds component=db": 1.5,
        "stackhand_pool_in_use": 2,
        "stackhand_pool_size": 5,
        "stackhand_pool_exhausted_total": 3,
        "stackhand_cache_requests_total result=hit": 7,
        "stackhand_cache_requests_total result=local": 1,
        "stackhand_cache_requests_total result=miss": 0,
        "stackhand_cache_errors_total reason=timeout": 4,
        "stackhand_cache_breaker state=open": 1,
        "stackhand_cache_breaker state=closed": 0,
        "stackhand_cache_breaker state=half_open": 0,
        "stackhand_cache_breaker state=trying": 0,
        "stackhand_http_requests_in_progress": 2,
        "stackhand_http_queue_depth": 3,
        "stackhand_http_threads": 2,
        "stackhand_history_waiting": 6,
        "stackhand_history_dropped_total": 8,
    }
    assert {name: found[name] for name in expected} == expected
    assert "stackhand_probe_age_seconds component=cache" not in found


def test_half_open_breaker_keeps_its_former_label(metrics: Metrics, sources: Sources) -> None:
    half_open = SimpleNamespace(counts={}, errors={}, breaker="half_open")
    metrics.set_sources(replace(sources, cache=half_open))
    found = read(metrics)
    labels = ("closed", "open", "half_open", "trying")
    assert [found[f"stackhand_cache_breaker state={label}"] for label in labels] == [0, 0, 1, 1]


def test_service_parts_are_metric_sources(metrics: Metrics) -> None:
    class Probe:
        address = ""

        def check(self) -> str:
            return ""

        def abort(self) -> None:
            pass

    database = Component("db", "datastore", Probe(), interval=1)
    database.check()
    client = redis_client.client(NOWHERE, timeout=1)
    cache, pool = Cache(client, prefix="t", ttl=1), Pool(NOWHERE)
    cache.get_or_make("k", dict)
    metrics.set_sources(Sources(components=[database], pool=pool, cache=cache))
    found = read(metrics)
    assert not [name for name in found if name.startswith("stackhand_metrics_failed_total")]
    assert found["stackhand_probe_age_seconds component=db"] >= 0
    assert found["stackhand_cache_errors_total reason=unreachable"] == 1
    assert (found["stackhand_cache_requests_total result=miss"], found["stackhand_pool_size"]) == (1, 5)
    client.close()


def test_failing_source_leaves_the_others(metrics: Metrics, sources: Sources) -> None:
    metrics.set_sources(Sources(components=sources.components, pool=SimpleNamespace(size=5), history=sources.history))
    found = read(metrics)
    assert found["stackhand_history_waiting"] == 6
    assert "stackhand_pool_size" not in found
    assert found["stackhand_metrics_failed_total source=pool"] == 1


def test_metrics_instances_share_nothing(metrics: Metrics) -> None:
    metrics.observe("GET", "/health", 200, 0.0)
    assert requests(Metrics(version="", commit="", routes=ROUTES)) == {}
