"""The roles keep Ansible's promises: Molecule's scenarios, each on a copy of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT, Checkout, clean_environment, docker
from tests.engines import COMPOSE, use
from tests.leaks import Leaks

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent


def environment(folder: Path) -> dict[str, str]:
    return clean_environment(
        PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
        MOLECULE_EPHEMERAL_DIRECTORY=str(folder),
        ANSIBLE_HOME=str(folder / "ansible"),  # Molecule would make folders in ours
        NO_COLOR="1",
        # the copy takes its ports from our blocks
        **{key: value for key, value in os.environ.items() if key.startswith("PYTEST_XDIST_WORKER")},
    )


@pytest.mark.parametrize(
    ("scenario", "engine"),
    [
        ("stack-embedded", "embedded"),
        pytest.param("stack-compose", "compose", marks=COMPOSE.marks),
    ],
)
def test_scenario_passes_and_leaves_nothing(scenario: str, engine: str, folder: Path) -> None:
    with use(engine):
        checkout = Checkout(folder / "checkout", {}, engine)
        leaks = Leaks(checkout)
        words = [str(BIN / "molecule"), "test", "--scenario-name", scenario, "--no-command-borders"]
        said = subprocess.run(words, cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=False)
        everything = said.stdout + said.stderr
        assert said.returncode == 0, everything
        assert "missing=0" in everything  # a playbook that is not there fails nothing
        assert not checkout.path.exists()
        leaks.check()
        if engine == "compose":
            assert not docker("image", "ls", "--quiet", "--filter", f"reference={checkout.name}-*")
