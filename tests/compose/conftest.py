"""The tests here are about containers only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import COMPOSE, use


@pytest.fixture(scope="package", params=[COMPOSE])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine of containers."""
    with use(request.param) as found:
        yield found
