"""What more costs: a million lines of log, 320 components that the status service watches, and 30 services to plan.

    ./inv bench.growth

The lines come page by page, as CloudWatch gives them, and what counts is the most memory that Python holds at once.
The service watches so many addresses of one web server, each every two seconds; its database and cache are not there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import psutil

from bench import plan
from bench.clock import machine
from stackhand.release import logs
from stackhand.system import waiting
from stackhand.system.roots import CONTENT
from tests.checkout import free_ports

LINES, PAGE = 1_000_000, 10_000
HOUR = 3_600_000
COMPONENTS = (2, 320)
SETTLES, WATCHED = 5.0, 10.0


def main() -> None:
    """Measure, and print two tables in Markdown."""
    print(f"{machine()}\n\n| {LINES:,} lines in the last hour | most memory, MB |\n|---|---|")
    now = int(time.time() * 1000)
    source, service = Lines(now - HOUR), SimpleNamespace(log_group="group", log_stream_prefix="shop/api")
    for count in (100, 1000):
        megabytes = most_memory(lambda count=count: logs.last(source, "api", service, now - HOUR, count))
        print(f"| the last {count} | {megabytes:.1f} |")
    megabytes = most_memory(lambda: sum(1 for _ in logs.since(source, "api", service, 0)))
    print(f"| each, one after the other | {megabytes:.1f} |")
    print("\n| components | threads | memory (PSS), MB | CPU, ms per second |\n|---|---|---|---|")
    for count in COMPONENTS:
        print(f"| {count} | {' | '.join(watching(count))} |")
    print(f"\n{plan.table()}")


class Lines:
    """As much of boto3's client as the logs need.

    Args:
        first: when the first line was written, in milliseconds since 1970.
    """

    def __init__(self, first: int) -> None:
        self.first = first

    def get_paginator(self, _: str) -> Lines:
        """Return the only one."""
        return self

    def paginate(self, *, startTime: int, endTime: int | None = None, **_: Any) -> Iterator[dict[str, Any]]:  # noqa: N803 - AWS's
        """Yield pages of lines, evenly written over the hour."""
        for begin in range(0, LINES, PAGE):
            times = ((number, self.first + number * HOUR // LINES) for number in range(begin, begin + PAGE))
            yield {
                "events": [
                    {"timestamp": at, "message": f"line {number} {'x' * 80}", "eventId": str(number)}
                    for number, at in times
                    if at >= startTime and (endTime is None or at < endTime)
                ]
            }


def most_memory(act: Any) -> float:
    """Return the most megabytes that Python held at once while something was done."""
    tracemalloc.start()
    act()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 1e6


class Well(BaseHTTPRequestHandler):
    """Answers that all is well."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def watching(count: int) -> list[str]:
    """Return the threads, the memory and the CPU time of a service that watches so many components."""
    port = free_ports()["API_PORT"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        settings = {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "ENVIRONMENT": "development",
            "DATABASE_URL": "postgres://nobody:none@127.0.0.1:1/none",
            "REDIS_URL": "redis://127.0.0.1:1",
            "HEALTH_TARGETS": ",".join(f"component-{number}={url}" for number in range(count)),
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"],
            cwd=CONTENT,
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return figures(psutil.Process(child.pid), count)
        finally:
            child.terminate()
            child.wait()
            server.shutdown()


def figures(process: psutil.Process, count: int) -> list[str]:
    """Return what a service needs once it watches all its components.

    Raises:
        SystemExit: it does not come so far.
    """
    if not waiting.until(lambda: process.is_running() and process.num_threads() > count, 60.0, 0.1):
        raise SystemExit("the service did not start")
    time.sleep(SETTLES)
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(WATCHED)
    used = 1000 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)
    return [str(process.num_threads()), f"{process.memory_full_info().pss / 1e6:.1f}", f"{used:.0f}"]


if __name__ == "__main__":
    sys.exit(main())
