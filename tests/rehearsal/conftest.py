"""One rehearsal, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import use
from tests.rehearsal.cloud import Cloud, rehearsed


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep all of it on one worker: they share the emulator."""
    for item in items:
        if item.path.parent == Path(__file__).parent and "cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("rehearsal"))


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """What a rehearsal left running; Terraform is asked once more, and its answer is used from then on."""
    with use("compose"), rehearsed() as found:
        found.replay = str(tmp_path_factory.mktemp("terraform"))
        yield found
