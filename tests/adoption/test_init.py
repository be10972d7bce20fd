"""`stackhand init` as somebody at a terminal meets it: the wrong folder, its questions, and leaving in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import installed
from tests.checkout import clean_environment
from tests.installed import Project
from tests.terminal import INTERRUPT, conversation

pytestmark = pytest.mark.xdist_group("wheel")
COMPOSE = """
name: shop
services:
  web: {build: web, ports: ["8080:80"]}
  admin: {build: web, ports: ["8081:80"]}
"""
PUBLIC, PATH, REGION, ACCOUNT = "the public (admin, web)? [admin]:", "(empty: none):", "[eu-west-1]:", "[123456789012]:"


def test_init_asks_again_after_a_wrong_answer_and_leaves_nothing_when_interrupted(tmp_path: Path) -> None:
    project = Project(tmp_path, installed.environment())
    deploy = tmp_path / "deploy"
    (deploy / "web").mkdir(parents=True)
    (deploy / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    (deploy / "web" / "Dockerfile").write_text("FROM scratch\nCMD serve\n", encoding="utf-8")
    project.git("init", "--quiet")
    project.git("add", "--all")

    lost = project.run("stackhand", "init", check=False)
    assert (lost.code, lost.err.splitlines()[0]) == (
        3,
        "  ✗ There is no Compose file in this folder; there is deploy/compose.yaml.",
    )
    assert lost.err.endswith("next: cd deploy && stackhand init\n")

    def init(*replies: tuple[str, str]) -> tuple[int, str]:
        words = [str(project.environment / "bin" / "stackhand"), "init"]
        said = conversation(words, replies, deploy, {"TERM": "xterm", **clean_environment()})
        return said.code, said.out

    before = sorted(tmp_path.rglob("*"))
    code, out = init((PUBLIC, "web"), (PATH, INTERRUPT))
    assert (code, "Traceback" in out, sorted(tmp_path.rglob("*")) == before) == (130, False, True), out

    wrong = [(PUBLIC, "db"), (PATH, "a b"), (REGION, "Ireland"), (ACCOUNT, "12")]
    right = [(PUBLIC, "web"), (PATH, "up"), (REGION, ""), (ACCOUNT, "210987654321")]
    code, out = init(*(reply for pair in zip(wrong, right, strict=True) for reply in pair))
    assert code == 0, out
    for complaint in (
        "not one of them: db",
        "it must be a path without blanks, * or #, and not /a b",
        "a region is like eu-west-1, and not Ireland",
        "an account is twelve digits, and not 12",
    ):
        assert complaint in out
    assert "x-health: /up\n    # x-embedded" in (deploy / "compose.stackhand.yaml").read_text(encoding="utf-8")
    variables = (deploy / "environments" / "staging.tfvars").read_text(encoding="utf-8")
    assert 'account_id  = "210987654321"' in variables
    assert 'region      = "eu-west-1"' in variables
