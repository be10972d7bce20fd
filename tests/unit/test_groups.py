"""pytest-xdist keeps tests of one group on one worker; where it did not, each shared stack would be started twice."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("a-group")
def test_a_group_is_seen_by_whoever_deals_out_the_tests(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@a-group")
