"""`ansible-playbook -e NAME=true` by hand gives a role a text, and "false" is a text that is not empty."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.checkout import ROOT, Checkout, clean_environment

SPECS = sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.parent.parent.name)
def test_every_boolean_of_a_role_is_made_one_where_it_is_used(spec: Path) -> None:
    options = yaml.safe_load(spec.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    names = "|".join(name for name, option in options.items() if option["type"] == "bool") or "-"
    for path in (spec.parent.parent / "tasks").glob("*.yml"):
        bare = re.findall(rf"\b(?:{names})\b(?! \| bool).*", path.read_text(encoding="utf-8"))
        assert bare == [], path


def playbook(checkout: Checkout, *words: str) -> None:
    argv = [sys.executable, "-m", "ansible.cli.playbook", *words, "-e", "stack_engine=embedded"]
    said = subprocess.run(argv, cwd=checkout.path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_a_boolean_that_is_given_by_hand_means_what_it_says(checkout: Checkout) -> None:
    data = checkout.state / "data" / "postgres"
    data.mkdir(parents=True)
    playbook(checkout, "playbooks/down.yml", "-e", "stack_volumes=false")
    assert data.exists()
    playbook(checkout, "playbooks/down.yml", "-e", "stack_volumes=true")
    assert not data.exists()
    playbook(checkout, "playbooks/up.yml", "--check", "-e", "stack_copy_data=true", "-e", "stack_free_ports=false")
