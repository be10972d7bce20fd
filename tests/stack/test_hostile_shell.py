"""Verbs in a shell that is full of settings for other projects."""

from __future__ import annotations

import psutil
import pytest

from tests.checkout import Checkout
from tests.engines import ON_ONE
from tests.shells import HOSTILE

pytestmark = pytest.mark.slow
PASSED = '"PASSED": ~ # has the value of the shell'
BEFORE = "HEALTH_DETAILS_TOKEN: ${HEALTH_DETAILS_TOKEN:-}\n"


@ON_ONE
def test_what_looks_like_a_template_of_ansible_is_data(running: Checkout) -> None:
    evil = f"{{{{ lookup('pipe', 'touch {running.path}/evaluated') }}}}"
    compose = (running.path / "docker-compose.yml").read_text(encoding="utf-8")
    running.edit("docker-compose.yml", "      ENGINE: compose\n", f'      ENGINE: compose\n      EVIL: "{evil}"\n')
    try:
        running.inv("up", EVIL=evil)
        assert psutil.Process(running.pid("api")).environ()["EVIL"] == evil
        refused = running.inv("up", evil, check=False)
        assert (refused.code, evil in refused.err) == (2, True)
    finally:
        (running.path / "docker-compose.yml").write_text(compose, encoding="utf-8")
        running.inv("up")
    assert not (running.path / "evaluated").exists()


def test_settings_of_other_projects_change_nothing_and_one_that_is_asked_for_arrives(running: Checkout) -> None:
    running.inv("down", **HOSTILE)
    running.edit("docker-compose.yml", BEFORE, f"{BEFORE}      {PASSED}\n")
    running.inv("up", **HOSTILE, PASSED="on")
    assert running.inv("status", "--json", **HOSTILE).json["status"] == "healthy"
    assert running.inv("logs", "postgres", "--lines", "1", **HOSTILE).out
    assert running.inv("shell", "api", stdin="echo $PASSED", PASSED="on").out == "on\n"
    assert "is already up" in running.inv("up", PASSED="on").out
    running.edit("docker-compose.yml", f"      {PASSED}\n", "")
