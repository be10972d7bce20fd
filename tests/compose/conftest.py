"""The tests here are about containers only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checkout import Checkout
from tests.engines import COMPOSE, use
from tests.leaks import lasting_stack


@pytest.fixture(scope="package", params=[COMPOSE])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine of containers."""
    with use(request.param) as found:
        yield found


@pytest.fixture(scope="package")
def stack(engine: str) -> Iterator[Checkout]:
    """A running stack, for the tests of this folder, which leave it as it was."""
    with lasting_stack(engine) as found:
        yield found
