"""Verbs in a shell that is full of settings for other projects."""

from __future__ import annotations

import pytest

from tests.checkout import Checkout
from tests.shells import HOSTILE

pytestmark = pytest.mark.slow


def test_settings_of_other_projects_change_nothing(running: Checkout) -> None:
    running.inv("down", **HOSTILE)
    running.inv("up", **HOSTILE)
    assert running.inv("status", "--json", **HOSTILE).json["status"] == "healthy"
    assert running.inv("logs", "postgres", "--lines", "1", **HOSTILE).out
    assert "is up already" in running.inv("up").out
