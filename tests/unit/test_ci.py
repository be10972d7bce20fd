"""What CI promises: there nothing is skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT, clean_environment


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_test_without_its_engine_is_skipped_with_the_reason_and_in_ci_that_fails(
    folder: Path, ci: str, code: int
) -> None:
    chosen = ["tests/compose/test_containers.py", "-k", "cannot_write_its_image"]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    env = clean_environment(DOCKER_HOST=f"unix://{folder}/nobody.sock", CI=ci)
    said = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert "no container engine: " in said.stdout
    assert "1 skipped" in said.stdout
    assert said.returncode == code
