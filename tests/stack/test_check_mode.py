"""What Ansible's check mode tells is what the run then does, task by task."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from tests.checkout import Checkout, clean_environment, docker

pytestmark = pytest.mark.slow


def changed(checkout: Checkout, playbook: str, *words: str) -> list[str]:
    """Run a playbook and return its changed tasks, with the items of loops."""
    argv = [".venv/bin/python", "-m", "ansible.cli.playbook", f"playbooks/{playbook}.yml", *words]
    argv += ["--extra-vars", f"stack_engine={checkout.engine}"]
    env = clean_environment(ANSIBLE_STDOUT_CALLBACK="default", ANSIBLE_NOCOLOR="1")
    said = subprocess.run(argv, cwd=checkout.path, env=env, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    found, task = [], ""
    for line in said.stdout.splitlines():
        if name := re.match(r"TASK \[(.+)\] \**$", line):
            task = name[1]
        elif line.startswith("changed: "):
            found.append(task + line.removeprefix("changed: [localhost]"))
    return found


def stop_all(checkout: Checkout) -> None:
    docker("stop", *docker("ps", "--quiet", "--filter", f"name={checkout.name}-").split())


def new_password(checkout: Checkout) -> None:
    checkout.env(POSTGRES_PASSWORD="told-before-it-is-changed")


def supervisor_killed(checkout: Checkout) -> None:
    checkout.kill("supervisord")


SITUATIONS: dict[str, list[tuple[Callable[[Checkout], None], str]]] = {
    "embedded": [(new_password, "up"), (supervisor_killed, "up")],
    "compose": [(stop_all, "down")],  # its start is a scenario of Molecule's
}


def test_check_mode_reports_what_the_run_changes(running: Checkout) -> None:
    for happens, playbook in SITUATIONS[running.engine]:
        happens(running)
        reported = changed(running, playbook, "--check")
        assert reported, happens
        assert reported == changed(running, playbook), happens
    running.inv("up")
