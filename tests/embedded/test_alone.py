"""What only the embedded engine has to do, for containers have no such paths and no such gaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.leaks import Leaks

pytestmark = pytest.mark.slow


def test_up_leaves_a_service_out_that_says_nothing_about_this_engine(checkout: Checkout) -> None:
    checkout.edit("docker-compose.yml", "\nvolumes:\n", "\n  mail:\n    image: mail:1\n\nvolumes:\n")
    said = checkout.inv("up").out
    assert "left out, for it has no x-embedded: mail" in said
    assert "mail" not in checkout.services()


def test_a_path_too_long_for_a_socket_with_spaces_and_umlauts_works(folder: Path) -> None:
    deep = folder / "späces and ümlauts" / ("long" * 25) / "my shop"
    checkout = Checkout.make(deep)
    leaks = Leaks(checkout)
    checkout.inv("up")
    assert checkout.ask("/health/ready")[0] == 200
    assert checkout.ask("/", "WEB_PORT")[0] == 200
    assert checkout.inv("db.shell", stdin="SELECT 42").out.split()[2] == "42"
    checkout.inv("down")
    leaks.check()
