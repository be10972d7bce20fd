"""What a foreign program prints need not be UTF-8: its report is told all the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stackhand.containers import docker, images
from stackhand.development import verbs as development
from stackhand.infrastructure.terraform import process
from stackhand.local.engines.compose.engine import Compose
from stackhand.local.engines.embedded import accounts
from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.local.engines.engine import Engine
from stackhand.project.stack import loading
from stackhand.project.state import State

WORDS = ["printf", r"caf\351\n"]
FILE = """\
name: shop
services:
  redis: {image: redis, ports: ["127.0.0.1:9001:6379"], x-embedded: {engine: redis}}
"""


def follow(words: Sequence[str], folder: Path) -> str:
    lines: list[str] = []
    process.follow(words, os.environ, folder / "log", lines.append, folder)
    return "".join(lines)


RUN: dict[str, Callable[[Sequence[str], Path], str]] = {
    "image": lambda words, folder: "".join(images.stream([*words], os.environ, folder, lambda _: None)[1]) + "\n",
    "docker": lambda words, _: docker._all_at_once({"it": words})["it"].stdout.strip() + "\n",
    "initdb": lambda words, _: accounts.run(None, words).stdout,
    "linter": lambda words, _: development._run(words).stdout,
    "terraform": follow,
    "terraform-read": lambda words, folder: process.read(words, os.environ, folder / "log", folder),
}


@pytest.mark.parametrize("run", RUN.values(), ids=RUN)
def test_bytes_that_are_no_text_lose_no_report(folder: Path, run: Callable[[Sequence[str], Path], str]) -> None:
    assert run(WORDS, folder) == "caf�\n"


@pytest.mark.parametrize("kind", [EmbeddedEngine, Compose])
def test_a_migration_may_print_bytes_that_are_no_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Engine]
) -> None:
    (folder / "docker-compose.yml").write_text(FILE)
    state = State(folder)
    state.make()
    stack = loading.load(folder, {})
    engine = kind(state, stack)
    monkeypatch.setattr(Compose, "execute", lambda *_: [])  # this machine in the place of a container
    assert engine.run(stack.services["redis"], WORDS).stdout == "caf�\n"
