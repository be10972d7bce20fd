"""Embedded services stop together, but none before what needs it."""

from __future__ import annotations

from pathlib import Path

from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.project.memory import Memory
from stackhand.project.stack import loading
from stackhand.project.state import State

SERVICES = """
services:
  api:
    image: python:3
    depends_on: {migrate: {condition: service_completed_successfully}}
    x-embedded: {command: api}
  migrate: {image: "python:3", depends_on: [db], x-embedded: {command: migrate}}
  db: {image: "postgres:16", environment: {POSTGRES_PASSWORD: shop}}
  cache: {image: "redis:7"}
"""


def engine(root: Path) -> EmbeddedEngine:
    (root / "compose.yaml").write_text(SERVICES, encoding="utf-8")
    State(root).make()
    return EmbeddedEngine(State(root), loading.load(root, {}))


def test_service_stops_after_what_needs_it_across_a_job_that_is_over(tmp_path: Path) -> None:
    embedded = engine(tmp_path)
    embedded.state.write(Memory(needs=embedded.stack.needs()))
    assert embedded.needing(["api", "cache", "db"]) == {"api": set(), "cache": set(), "db": {"api"}}


def test_services_of_an_earlier_version_stop_one_after_the_other(tmp_path: Path) -> None:
    assert engine(tmp_path).needing(["web", "api", "db"]) == {"web": set(), "api": {"web"}, "db": {"web", "api"}}
