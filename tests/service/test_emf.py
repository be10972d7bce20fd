"""Metrics in the log for CloudWatch."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from service.emf import MOST_METRICS, emf_line, emf_lines, run_emf
from service.metrics import Metrics, Sources
from tests.checkout import eventually
from tests.service.stub_metrics import make_metrics, make_sources, settings

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
    return make_metrics()


@pytest.fixture
def sources() -> Sources:
    return make_sources()


def test_emf_line_follows_the_specification() -> None:
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
def test_emf_line_refuses_what_cloudwatch_rejects(
    dimensions: dict[str, str], values: dict[str, tuple[float, str]]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        emf_line(dimensions, values)


def test_emf_lines_report_changes_of_the_minute(metrics: Metrics, sources: Sources) -> None:
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


def test_emf_lines_omit_duration_without_requests(metrics: Metrics) -> None:
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


def test_emf_emission_continues_after_a_failure(metrics: Metrics) -> None:
    emitted: list[dict[str, Any]] = []

    def emit(line: dict[str, Any]) -> None:
        emitted.append(json.loads(json.dumps(line)))
        if len(emitted) == 1:
            raise OSError("the log is full")

    end = running(metrics, emit, 0.01)
    eventually(lambda: len(emitted) >= 3, "it goes on", 20)
    end()


def test_emf_emits_remainder_at_the_end(metrics: Metrics) -> None:
    emitted: list[dict[str, Any]] = []
    end = running(metrics, emitted.append, 3600)
    metrics.observe("GET", "/health", 200, 0.0)
    end()
    assert [line["Requests"] for line in emitted] == [1]
