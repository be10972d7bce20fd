"""A clone with nothing installed yet, on a machine with Docker: the main path of most people."""

from __future__ import annotations

import pytest

from tests.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_first_up_installs_the_packages_and_goes_on(checkout: Checkout) -> None:
    (checkout.path / ".venv").unlink()
    said = checkout.inv("up", timeout=400)
    assert "installing requirements.lock" in said.err
    assert "is up, on compose" in said.out
    assert checkout.ask("/health/ready")[0] == 200
    assert "installing" not in checkout.inv("up").err
