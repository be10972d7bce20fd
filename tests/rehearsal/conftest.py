"""One rehearsal, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import use
from tests.rehearsal.cloud import Cloud, rehearsed


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """What a rehearsal left running; Terraform is asked once more, and its answer is used from then on."""
    with use("compose"), rehearsed() as found:
        found.replay = str(tmp_path_factory.mktemp("terraform"))
        yield found
