"""The page behind nginx alone: what its API says is made up by each test."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route

from tests.browser import shapes
from tests.browser.nginx import nginx

QUARTER = "**/api/**"


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    """The page behind nginx alone; what its API says is made up here."""
    place = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    place.chmod(0o755)
    with nginx(place / "shop") as found:
        yield f"http://127.0.0.1:{found.ports['WEB_PORT']}"
    shutil.rmtree(place)


def answering(
    page: Page,
    shape: shapes.Shape,
    *incidents: dict[str, Any],
    names: tuple[str, ...] = (),
    now: float = 0.0,
    **changes: Any,
) -> None:
    """Have the API's questions answered with a shape: now, or at another time; `changes` are the first component's."""
    given = now

    def answer(route: Route) -> None:
        url, now = urlsplit(route.request.url), given or time.time()
        asked = parse_qs(url.query)
        if url.path == "/api/status":
            route.fulfill(json=shapes.status(now, *names, **changes))
        elif url.path == "/api/history":
            route.fulfill(json=shapes.history(shape, asked["component"][0], asked["window"][0], now))
        else:
            route.fulfill(json=shapes.incidents(*incidents))

    page.route(QUARTER, answer)


def gives(**how: Any) -> Callable[[Route], None]:
    """Return what answers a request so."""
    return lambda route: route.fulfill(**how)
