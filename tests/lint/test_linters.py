"""Every linter of `./inv check` is content."""

from __future__ import annotations

import subprocess

import pytest

from stackhand.development.verbs import CHECKS
from tests.checkout import ROOT


@pytest.mark.parametrize("name", list(CHECKS))
def test_linter_is_content(name: str) -> None:
    said = subprocess.run(CHECKS[name], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
