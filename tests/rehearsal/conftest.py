"""One emulator with one applied stack and a first release, for all tests here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackhand import environments
from stackhand.rehearsal import emulator
from stackhand.rehearsal.copy import Copy
from stackhand.rehearsal.leftovers import Made
from stackhand.rehearsal.play import ENVIRONMENT
from tests.checkout import eventually
from tests.engines import use
from tests.rehearsal.cloud import DEPLOY, Cloud


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep all of it on one worker: they share the emulator."""
    for item in items:
        if item.path.parent == Path(__file__).parent and "cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("rehearsal"))


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """An environment with its first release; nothing of it may be left afterwards."""
    with use("compose"):
        folder = Path(tempfile.mkdtemp(prefix="sh-rehearsal-")).resolve()
        aws = emulator.start(folder / "aws", environments.load(ENVIRONMENT).region)
        made = Made(aws)
        try:
            yield _released(Cloud(aws, Copy.make(folder / "shop")))
        finally:
            made.look()
            aws.stop()
            made.remove_images()
            shutil.rmtree(folder, ignore_errors=True)
            eventually(lambda: not made.left(), f"nothing left but {made.left()}", patience=20)


def _released(cloud: Cloud) -> Cloud:
    """Make the environment and its first release, from the sources; later plans trust Terraform's state, for speed."""
    for words in (("bootstrap", "-e", ENVIRONMENT), DEPLOY):
        said = cloud.inv(*words, timeout=300)
        assert said.code == 0, said.out
    cloud.good = cloud.copy.head
    inventory = cloud.copy.path / "inventory" / "local.yml"
    inventory.write_text(
        inventory.read_text(encoding="utf-8") + "      infrastructure_refresh: false\n", encoding="utf-8"
    )
    return cloud
