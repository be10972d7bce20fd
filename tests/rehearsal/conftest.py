"""One rehearsal, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import use
from tests.rehearsal.cloud import Cloud, rehearsed


@pytest.fixture(scope="package")
def cloud() -> Iterator[Cloud]:
    """What a rehearsal left running."""
    with use("compose"), rehearsed() as found:
        yield found
