"""pytest-xdist keeps tests of one group on one worker; where it did not, each shared stack would be started twice."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="module")
def dear() -> str:
    """Stands for what takes long to make."""
    return "a stack"


def test_tests_that_share_a_fixture_are_a_group_and_pytest_xdist_sees_it(
    dear: str, request: pytest.FixtureRequest
) -> None:
    marked = request.node.get_closest_marker("xdist_group")
    assert marked is not None
    assert marked.args[0].endswith("-dear-")
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith(f"@{marked.args[0]}")
