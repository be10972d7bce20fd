"""Every linter of `./inv check` passes."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from stackhand.development.verbs import CHECKS
from tests.checkout import ROOT


@pytest.mark.parametrize("name", list(CHECKS))
def test_linter_passes(name: str) -> None:
    said = subprocess.run(CHECKS[name], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_word_linter_finds_every_word_and_phrase_of_its_list() -> None:
    regex = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["codespell"]["regex"]
    lines = (ROOT / ".config" / "words.txt").read_text(encoding="utf-8").splitlines()
    text = "\n".join(f"{before}\nkeep_{before.title()}" if " " not in before else before for before, _ in pairs(lines))
    found = [word.lower() for word in re.findall(regex, text)]
    assert [before for before, _ in pairs(lines) if before not in found] == []


def pairs(lines: list[str]) -> list[tuple[str, str]]:
    return [(before, after) for before, _, after in (line.partition("->") for line in lines)]
