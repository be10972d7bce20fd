"""What a service without a container is told of its neighbours."""

from __future__ import annotations

from pathlib import Path

from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.project.stack import loading
from stackhand.project.state import State

SERVICES = """
services:
  app:
    image: python:3
    x-embedded: {command: app}
    environment:
      DB_HOST: db
      DB_PORT: "5432"
      DB_NAME: db
      CACHE_ADDR: cache:6379
      DATABASE_URL: postgres://app:secret@db/app
      REDIS_URL: redis://cache
      HOMEPAGE: http://app/
  db: {image: "postgres:16", ports: ["127.0.0.1:15432:5432"], environment: {POSTGRES_PASSWORD: shop}}
  cache: {image: "redis:7", ports: ["16379:6379"]}
"""


def test_names_of_neighbours_become_addresses_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(SERVICES, encoding="utf-8")
    State(tmp_path).make()
    servers = EmbeddedEngine(State(tmp_path), loading.load(tmp_path, {})).servers()
    assert servers["app"].variables() == {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": "15432",
        "DB_NAME": "db",
        "CACHE_ADDR": "127.0.0.1:16379",
        "DATABASE_URL": "postgres://app:secret@127.0.0.1:15432/app",
        "REDIS_URL": "redis://127.0.0.1:16379",
        "HOMEPAGE": "http://app/",
    }
