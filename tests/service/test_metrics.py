"""What Prometheus and CloudWatch get to see."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service import redis_client
from service.cache import Cache
from service.emf import MOST_METRICS, emf_line, emf_lines, run_emf
from service.health.component import Component
from service.health.state import Result, State
from service.metrics import Metrics, Sources
from service.pool import Pool
from service.settings import Address, Settings
from tests.checkout import eventually
from tests.service.pools import at_once

LAST = Result("pass", 0.0, 0.0, 2.5)
NOWHERE = Address("127.0.0.1", 1, "", "", "")
ROUTES = ("/health", "/health/<name>", "/api/status")
UNITS = ["Seconds", "Milliseconds", "Bytes", "Percent", "Count", "Count/Second", "None"]
NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
EMF = {  # as the specification has it, and with nothing but strings and numbers at the root
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_500_000_000_000},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": NAME,
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name", "Unit"],
                                    "properties": {"Name": NAME, "Unit": {"enum": UNITS}},
                                },
                            },
                        },
                    },
                },
            },
        }
    },
    "additionalProperties": {"anyOf": [NAME, {"type": "number"}]},
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="1.2.3", commit="abc", routes=ROUTES)


@pytest.fixture
def sources() -> Sources:
    return Sources(
        components=[
            SimpleNamespace(name="db", status="pass", age=1.5, state=State("pass", 0.0, LAST)),
            SimpleNamespace(name="cache", status="unknown", age=None, state=State("unknown", 0.0)),
        ],
        pool=SimpleNamespace(size=5, in_use=2, exhaustions=3),
        cache=SimpleNamespace(counts={"hit": 7, "local": 1}, errors={"timeout": 4}, breaker="open"),
        dispatcher=SimpleNamespace(queue=[1, 2, 3], threads=[1, 2], active_count=2),
        history=SimpleNamespace(waiting=6, dropped=8),
    )


def settings(**given: Any) -> Settings:
    return Settings("127.0.0.1", 0, NOWHERE, NOWHERE, **given)


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


def test_requests_are_counted_by_method_route_and_class_of_status(metrics: Metrics) -> None:
    for status in (200, 204, 503):
        metrics.observe("GET", "/api/status", status, 0.02)
    assert requests(metrics) == {
        "method=GET route=/api/status status=2xx": 2,
        "method=GET route=/api/status status=5xx": 1,
    }
    found = read(metrics)
    bucket = "stackhand_http_request_duration_seconds_bucket le={} method=GET route=/api/status status=2xx"
    assert (found[bucket.format("0.01")], found[bucket.format("0.025")]) == (0, 2)


def test_a_path_counts_for_its_template(metrics: Metrics) -> None:
    for path in ("/health", "/health/db", "/health/all", "/health/<name>"):
        metrics.observe("GET", path, 200, 0.0)
    assert requests(metrics) == {
        "method=GET route=/health status=2xx": 1,
        "method=GET route=/health/<name> status=2xx": 3,
    }


def test_what_callers_invent_does_not_grow_the_metrics(metrics: Metrics) -> None:
    for number in range(500):
        metrics.observe(f"X{number}", f"/{number}/x", 600 + number, 0.0)
        metrics.observe("GET", f"/{number}", 404, 0.0)
        metrics.observe("GET", "", 404, 0.0)
    assert requests(metrics) == {
        "method=other route=other status=other": 500,
        "method=GET route=other status=4xx": 1000,
    }


def test_no_request_is_lost_when_many_are_counted_at_once(metrics: Metrics) -> None:
    assert at_once(16, lambda: [metrics.observe("GET", "/health", 200, 0.0) for _ in range(200)]) == []
    assert requests(metrics) == {"method=GET route=/health status=2xx": 3200}


def test_sources_are_read_when_somebody_asks(metrics: Metrics, sources: Sources) -> None:
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
        "stackhand_http_requests_in_progress": 2,
        "stackhand_http_queue_depth": 3,
        "stackhand_http_threads": 2,
        "stackhand_history_waiting": 6,
        "stackhand_history_dropped_total": 8,
    }
    assert {name: found[name] for name in expected} == expected
    assert "stackhand_probe_age_seconds component=cache" not in found


def test_the_parts_of_the_service_are_sources(metrics: Metrics) -> None:
    class Probe:
        address = ""

        def look(self) -> str:
            return ""

        def abort(self) -> None:
            pass

    database = Component("db", "datastore", Probe(), interval=1)
    database.look()
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


def test_a_source_that_fails_leaves_the_others(metrics: Metrics, sources: Sources) -> None:
    metrics.set_sources(Sources(components=sources.components, pool=SimpleNamespace(size=5), history=sources.history))
    found = read(metrics)
    assert found["stackhand_history_waiting"] == 6
    assert "stackhand_pool_size" not in found
    assert found["stackhand_metrics_failed_total source=pool"] == 1


def test_two_of_them_do_not_share_anything(metrics: Metrics) -> None:
    metrics.observe("GET", "/health", 200, 0.0)
    assert requests(Metrics(version="", commit="", routes=ROUTES)) == {}


def test_a_line_for_cloudwatch_follows_the_specification() -> None:
    line = emf_line({"Environment": "staging"}, {"Requests": (3, "Count")}, now=1_700_000_000.5)
    jsonschema.validate(line, EMF)
    assert line == {
        "_aws": {
            "Timestamp": 1_700_000_000_500,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Stackhand",
                    "Dimensions": [["Environment"]],
                    "Metrics": [{"Name": "Requests", "Unit": "Count"}],
                }
            ],
        },
        "Environment": "staging",
        "Requests": 3,
    }


@pytest.mark.parametrize(
    ("dimensions", "values"),
    [
        ({}, {"A": (1, "Count")}),
        ({"D": "x"}, {}),
        ({"D": ""}, {"A": (1, "Count")}),
        ({"D": "x" * 1025}, {"A": (1, "Count")}),
        ({f"D{number}": "x" for number in range(31)}, {"A": (1, "Count")}),
        ({"D": "x"}, {f"A{number}": (1, "Count") for number in range(MOST_METRICS + 1)}),
        ({"D": "x"}, {"A": (float("nan"), "Count")}),
        ({"D": "x"}, {"D": (1, "Count")}),
        ({"_aws": "x"}, {"A": (1, "Count")}),
    ],
)
def test_what_cloudwatch_would_not_take_is_refused(
    dimensions: dict[str, str], values: dict[str, tuple[float, str]]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        emf_line(dimensions, values)


def test_the_lines_of_a_minute_have_what_happened_in_it(metrics: Metrics, sources: Sources) -> None:
    metrics.set_sources(sources)
    metrics.observe("GET", "/health", 200, 0.01)
    _, before = emf_lines(metrics, settings(), {})
    for status in (200, 500):
        metrics.observe("GET", "/api/status", status, 0.03)
    lines, _ = emf_lines(metrics, settings(environment="staging", stack="shop"), before)
    for line in lines:
        jsonschema.validate(line, EMF)
        directive = line["_aws"]["CloudWatchMetrics"][0]
        named = [*directive["Dimensions"][0], *(metric["Name"] for metric in directive["Metrics"])]
        assert sorted(named) == sorted(set(line) - {"_aws"})
    process, database, cache = lines
    assert (process["Environment"], process["Stack"]) == ("staging", "shop")
    assert (process["Requests"], process["ServerErrors"], process["Duration"]) == (2, 1, 30.0)
    assert (process["CacheHits"], process["PoolInUse"], process["HistoryWaiting"]) == (0, 2, 6)
    assert (database["Component"], database["Passing"], database["ProbeLatency"]) == ("db", 1, 2.5)
    assert (cache["Component"], cache["Passing"]) == ("cache", 0)


def test_a_minute_without_requests_has_no_duration(metrics: Metrics) -> None:
    lines, _ = emf_lines(metrics, settings(), {})
    assert "Duration" not in lines[0]
    assert lines[0]["Stack"] == "none"


def running(metrics: Metrics, emit: Callable[[dict[str, Any]], None], every: float) -> Callable[[], None]:
    """Start the thread, and return what ends it."""
    stop = threading.Event()
    thread = threading.Thread(target=run_emf, args=(metrics, settings(), stop, emit, every))
    thread.start()

    def end() -> None:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()

    return end


def test_lines_are_emitted_again_and_again_also_after_a_failure(metrics: Metrics) -> None:
    emitted: list[dict[str, Any]] = []

    def emit(line: dict[str, Any]) -> None:
        emitted.append(json.loads(json.dumps(line)))
        if len(emitted) == 1:
            raise OSError("the log is full")

    end = running(metrics, emit, 0.01)
    eventually(lambda: len(emitted) >= 3, "it goes on", 20)
    end()


def test_what_is_left_is_emitted_at_the_end(metrics: Metrics) -> None:
    emitted: list[dict[str, Any]] = []
    end = running(metrics, emitted.append, 3600)
    metrics.observe("GET", "/health", 200, 0.0)
    end()
    assert [line["Requests"] for line in emitted] == [1]
