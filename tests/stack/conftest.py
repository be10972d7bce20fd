"""The tests here are one set for both engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import BOTH, use


@pytest.fixture(scope="package", params=BOTH)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each engine in turn."""
    with use(request.param) as found:
        yield found
