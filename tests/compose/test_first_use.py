"""A clone with nothing installed yet, on a machine with Docker: the main path of most people."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_first_up_installs_what_the_engine_needs_and_goes_on(checkout: Checkout) -> None:
    (checkout.path / ".venv").unlink()
    said = checkout.inv("up", timeout=400)
    assert "installing requirements.lock" in said.err
    assert "installing Ansible's collections" in said.err
    assert "is up, on compose" in said.out
    assert checkout.ask("/health/ready")[0] == 200
    assert "installing" not in checkout.inv("up").err


def test_the_playbook_by_hand_says_how_to_have_what_it_needs(checkout: Checkout, folder: Path) -> None:
    import subprocess

    from tests.checkout import clean_environment

    lock = checkout.path / "requirements-collections.lock"
    lock.write_text(lock.read_text() + "\n# another one\n")
    words = [".venv/bin/python", "-m", "ansible", "playbook", "playbooks/up.yml", "-e", "stack_engine=compose"]
    environment = clean_environment(ANSIBLE_COLLECTIONS_PATH=str(folder))
    said = subprocess.run(words, cwd=checkout.path, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode != 0
    assert "Ansible's collections are not installed" in said.stdout
    assert "./inv --install-collections" in said.stdout
