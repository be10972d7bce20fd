"""The verbs deploy and rollback, through Invoke and Ansible, as a person and as CI use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import Checkout, Said
from tests.cloud.conftest import Cloud
from tests.cloud.fake_ecs import Outcome
from tests.cloud.site import Site


@pytest.fixture
def tick() -> float:
    return 1.0


@pytest.fixture
def site(cloud: Cloud, folder: Path) -> Iterator[Site]:
    """A checkout that releases to the cloud of the test."""
    yield Site(Checkout.make(folder / "shop", env=False), cloud.settings, cloud.output)


def prepared(site: Site, cloud: Cloud, words: str, **outcome: object) -> str:
    """Commit something, whose images are in the registry, and return the commit."""
    digests = cloud.image(words)
    site.images(digests)
    commit = site.commit(words)
    for digest in digests.values():
        cloud.world.outcomes[digest] = Outcome(**{"version": commit, **outcome})
    return commit


def deploy(site: Site, *words: str, check: bool = True) -> Said:
    return site.checkout.inv("deploy", "-e", "staging", "--yes", *words, check=check, **site.settings)


def test_a_commit_is_released_once_and_then_found_running(site: Site, cloud: Cloud) -> None:
    commit = prepared(site, cloud, "first")
    said = deploy(site)
    print(said.out, said.err)
    assert f"{commit[:12]} is deployed in staging" in said.out
    again = deploy(site)
    print(again.out, again.err)
    assert f"{commit[:12]} runs already in staging" in again.out
