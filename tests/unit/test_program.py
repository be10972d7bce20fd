"""The command line of `./inv`."""

from __future__ import annotations

import json
import sys

import pytest

from stackhand import playbook, verification
from stackhand.program import Inv


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("logs", "logs"),
        ("logs api web", "logs --service api --service web"),
        ("logs --lines 5 api --follow", "logs --lines 5 --service api --follow"),
        ("logs api --since 10m", "logs --service api --since 10m"),
        ("restart", "restart"),
        ("open api", "open --service api"),
        ("shell api", "shell api"),
        ("down up", "down up"),
    ],
)
def test_names_behind_a_verb_are_its_services(typed: str, meant: str) -> None:
    program = Inv(name="inv")
    program.create_config()
    program.parse_core(["inv", *typed.split()])
    program.parse_collection()
    assert program.names_as_flags(typed.split()) == meant.split()


def test_a_playbook_gets_its_variables_as_one_json_object() -> None:
    words = playbook.command("up", {"stack_timeout": 5, "stack_engine": 'it\'s "quoted"'})
    assert words[:4] == [sys.executable, "-m", "ansible.cli.playbook", "playbooks/up.yml"]
    assert json.loads(words[5]) == {"stack_timeout": 5, "stack_engine": 'it\'s "quoted"'}


def test_the_slowest_path_is_the_chain_that_took_longest() -> None:
    seconds = {"postgres": 2.0, "redis": 1.0, "api": 1.0, "web": 0.5, "docs": 3.2}
    after = {"api": ["postgres", "redis"], "web": ["api"]}
    assert verification.slowest_path(seconds, after) == ["postgres", "api", "web"]
    assert verification.slowest_path({}, {}) == []
