"""How light the status page is, and how soon it shows that something has failed.

    ./inv bench.page

Over a running stack of its own on the embedded engine, in Debian's Chromium, which is open already; each visit with an
empty cache. The times are Chromium's own, from the start of the navigation; the sizes are those of the compressed
bodies. A failure is a SIGSTOP of Redis.
"""

from __future__ import annotations

import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from bench.clock import machine
from stackhand.system.roots import CONTENT as ROOT
from tests import chromium
from tests.checkout import Checkout

VISITS, FAILURES = 10, 8
SOON = 30_000
GOALS = {
    "first paint": "at most 100 ms",
    "page, compressed": "at most 12 KiB",
    "page, files as they are": "below 30 kB",
    "requests to others": "0",
    "SIGSTOP of Redis until the page shows it": "at most 8 s",
}
VISIT = """() => {
    const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    return {
        paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
        files: all.map(({ name, encodedBodySize }) => [name, encodedBodySize]),
    };
}"""


def main() -> None:
    """Measure, and print a table in Markdown."""
    place = Path(tempfile.mkdtemp(prefix="sh-bench-"))
    place.chmod(0o755)
    checkout = Checkout.make(place / "shop")
    try:
        checkout.inv("up")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(**chromium.launch_options())
            figures = measure(browser, checkout)
            browser.close()
    finally:
        checkout.inv("down", "--volumes", "--yes", check=False)
        shutil.rmtree(place, ignore_errors=True)
    print(f"{machine()}\n\n| what | median | least | most | runs | goal |\n|---|---|---|---|---|---|")
    for name, (unit, runs) in figures.items():
        low, middle, high = (
            f"{each:,.{1 if unit == 's' else 0}f}" for each in (min(runs), statistics.median(runs), max(runs))
        )
        print(f"| {name}, {unit} | {middle} | {low} | {high} | {len(runs)} | {GOALS.get(name, '')} |")


def measure(browser: Browser, checkout: Checkout) -> dict[str, tuple[str, Sequence[float]]]:
    """Return unit and runs by what was measured."""
    address = f"http://127.0.0.1:{checkout.ports['WEB_PORT']}"
    visits = [visit(browser, address) for _ in range(VISITS + 1)][1:]  # the first one makes Chromium read itself
    files = [path for path in (ROOT / "web").iterdir() if path.suffix in {".html", ".css", ".js"}]
    return {
        "first paint": ("ms", [each["paint"] for each in visits]),
        "bare: first paint of one word without a server": ("ms", [bare(browser, address) for _ in range(VISITS)]),
        "page, compressed": ("bytes", [size(each, "/api/", without=True) for each in visits]),
        "answers of the API for it, compressed": ("bytes", [size(each, "/api/") for each in visits]),
        "page, files as they are": ("bytes", [sum(path.stat().st_size for path in files)]),
        "requests to others": ("number", [strangers(each, address) for each in visits]),
        "SIGSTOP of Redis until the page shows it": ("s", failures(browser, checkout, address)),
    }


def visit(browser: Browser, address: str) -> dict[str, Any]:
    """Return what Chromium says of one visit."""
    context = browser.new_context()
    page = context.new_page()
    page.wait_for_timeout(500)  # until its process has started
    page.goto(address)
    expect(page.locator(".bar")).to_have_count(3, timeout=SOON)
    found: dict[str, Any] = page.evaluate(VISIT)
    context.close()
    return found


def bare(browser: Browser, address: str) -> float:
    """Return the milliseconds that Chromium itself takes to paint anything."""
    context = browser.new_context()
    context.route("**", lambda route: route.fulfill(content_type="text/html", body="<!doctype html><p>word</p>"))
    page = context.new_page()
    page.wait_for_timeout(500)
    page.goto(address)
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    found = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    context.close()
    return float(found)


def size(found: dict[str, Any], part: str, *, without: bool = False) -> float:
    """Return the bytes of the bodies whose address has a part, or has it not."""
    return float(sum(size for name, size in found["files"] if (part in name) != without))


def strangers(found: dict[str, Any], address: str) -> float:
    """Return how many requests went elsewhere."""
    return float(sum(not name.startswith((address, "data:")) for name, _ in found["files"]))


def failures(browser: Browser, checkout: Checkout, address: str) -> list[float]:
    """Return the seconds from each stop of Redis until the page says so."""
    page = browser.new_page()
    page.goto(address)
    found = []
    for number in range(FAILURES):
        expect(page.locator("h1")).to_have_text("All systems operational", timeout=SOON)
        # probes have their own rhythm, so each time at another moment of it
        page.wait_for_timeout(6_000 + 5_000 * number / FAILURES)
        checkout.kill("redis", signal.SIGSTOP)
        began = time.perf_counter()
        try:
            expect(page.locator("h1")).to_have_text(re.compile("Cache disrupted"), timeout=SOON)
            found.append(time.perf_counter() - began)
        finally:
            checkout.kill("redis", signal.SIGCONT)
    return found


if __name__ == "__main__":
    sys.exit(main())
