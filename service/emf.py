"""Metrics in the log, in the embedded metric format of CloudWatch: no agent, no call to AWS.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog

from service.metrics import Metrics
from service.settings import Settings

log = structlog.get_logger()

NAMESPACE = "Stackhand"
INTERVAL = 60.0
MOST_METRICS = 100
MOST_DIMENSIONS = 30
LONGEST = 1024
REQUESTS = "stackhand_http_request_duration_seconds"
GAUGES = {
    "stackhand_pool_in_use": ("PoolInUse", "Count"),
    "stackhand_http_queue_depth": ("QueueDepth", "Count"),
    "stackhand_history_waiting": ("HistoryWaiting", "Count"),
}
COUNTERS = {
    "stackhand_pool_exhausted_total": ("PoolExhausted", "Count"),
    "stackhand_cache_errors_total": ("CacheErrors", "Count"),
    "stackhand_history_dropped_total": ("HistoryDropped", "Count"),
}
"""The metrics for CloudWatch, which charges for each: name of the sample; name and unit of the metric."""

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


def emf_line(
    dimensions: Mapping[str, str], values: Mapping[str, tuple[float, str]], *, now: float | None = None
) -> dict[str, Any]:
    """Return one document of the format.

    Args:
        dimensions: name and value.
        values: name, value and unit of CloudWatch.
        now: seconds since 1970; default: the current time.

    Raises:
        ValueError: CloudWatch would not accept the document.
    """
    if not 1 <= len(dimensions) <= MOST_DIMENSIONS or not 1 <= len(values) <= MOST_METRICS:
        raise ValueError(f"{len(dimensions)} dimensions and {len(values)} metrics")
    if not all(0 < len(text) <= LONGEST for text in dimensions.values()):
        raise ValueError(f"a dimension is empty or too long: {dimensions}")
    if not all(math.isfinite(value) for value, _ in values.values()):
        raise ValueError(f"not all values are finite numbers: {values}")
    if clash := (dimensions.keys() & values.keys()) | ({"_aws"} & (dimensions.keys() | values.keys())):
        raise ValueError(f"used twice: {sorted(clash)}")
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in values.items()],
    }
    aws = {"Timestamp": round((time.time() if now is None else now) * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": aws, **dimensions, **{name: value for name, (value, _) in values.items()}}


def emf_lines(metrics: Metrics, settings: Settings, before: Samples) -> tuple[list[dict[str, Any]], Samples]:
    """Return the documents for the changes since `before`, and the new value of `before`."""
    after = _samples(metrics)
    stack = {"Environment": settings.environment, "Stack": settings.stack or "none"}
    lines = [emf_line(stack, dict(_of_process(before, after)))]
    for component, values in _of_components(after).items():
        lines.append(emf_line({**stack, "Component": component}, values))
    return lines, after


def run_emf(
    metrics: Metrics,
    settings: Settings,
    stop_event: threading.Event,
    emit: Callable[[dict[str, Any]], None],
    interval: float = INTERVAL,
) -> None:
    """Emit the metrics once a minute until the event is set, and then once more; the body of a thread.

    Args:
        metrics: of this process.
        settings: of this process.
        stop_event: ends it.
        emit: writes a document as a line of JSON.
        interval: seconds between documents.
    """
    before: Samples = {}
    stopping = False
    while not stopping:
        stopping = stop_event.wait(interval)
        try:
            lines, before = emf_lines(metrics, settings, before)
            for line in lines:
                emit(line)
        except Exception:
            log.exception("writing metrics failed")


def _samples(metrics: Metrics) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def _of_process(before: Samples, after: Samples) -> Iterator[tuple[str, tuple[float, str]]]:
    def since(name: str, label: tuple[str, str] | None = None) -> float:
        return _total(after, name, label) - _total(before, name, label)

    requests = since(f"{REQUESTS}_count")
    yield "Requests", (requests, "Count")
    yield "ServerErrors", (since(f"{REQUESTS}_count", ("status", "5xx")), "Count")
    if requests:
        yield "Duration", (round(since(f"{REQUESTS}_sum") / requests * 1000, 3), "Milliseconds")
    for result, name in (("hit", "CacheHits"), ("miss", "CacheMisses")):
        yield name, (since("stackhand_cache_requests_total", ("result", result)), "Count")
    for sample, (name, unit) in COUNTERS.items():
        yield name, (since(sample), unit)
    for sample, (name, unit) in GAUGES.items():
        yield name, (_total(after, sample), unit)


def _of_components(samples: Samples) -> dict[str, dict[str, tuple[float, str]]]:
    metrics: dict[str, dict[str, tuple[float, str]]] = {}
    for (name, labels), value in samples.items():
        label = dict(labels)
        if name == "stackhand_component_state" and label["state"] == "pass":
            metrics.setdefault(label["component"], {})["Passing"] = (value, "Count")
        if name == "stackhand_probe_latency_seconds":
            metrics.setdefault(label["component"], {})["ProbeLatency"] = (round(value * 1000, 3), "Milliseconds")
    return metrics


def _total(samples: Samples, name: str, label: tuple[str, str] | None = None) -> float:
    return sum(
        value for (sample, labels), value in samples.items() if sample == name and (label is None or label in labels)
    )
