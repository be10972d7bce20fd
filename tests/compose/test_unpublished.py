"""Services without ports: asked inside their containers, as far as there is anything to ask."""

from __future__ import annotations

import pytest

from tests.checkout import Checkout, docker

pytestmark = pytest.mark.slow
STACK = """
name: ${COMPOSE_PROJECT_NAME}
services:
  database:
    image: postgres:16-alpine
    environment: {POSTGRES_PASSWORD: "${POSTGRES_PASSWORD}", POSTGRES_USER: "${POSTGRES_USER}", POSTGRES_DB: shop}
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck:
      test: [CMD-SHELL, 'pg_isready -q -h 127.0.0.1 -U "$$POSTGRES_USER"']
      start_period: 60s
      start_interval: 0.5s
    x-embedded: {engine: postgres}
  cache:
    image: redis:7-alpine
    command: [redis-server, --requirepass, "${REDIS_PASSWORD}"]
    environment: {REDIS_PASSWORD: "${REDIS_PASSWORD}"}
    x-embedded: {engine: redis}
volumes: {data: {}}
"""


def test_a_database_and_a_cache_without_ports_are_brought_in_line_and_asked_inside(checkout: Checkout) -> None:
    (checkout.path / "docker-compose.yml").write_text(STACK)
    checkout.inv("up")
    checkout.env(POSTGRES_PASSWORD="of-a-database-without-a-port")
    said = checkout.inv("up")
    assert "changed the password of stackhand to the one in .env" in said.out
    found = {name: (each["state"], each["answer"], each["address"]) for name, each in checkout.services().items()}
    assert found == {
        "database": ("healthy", "healthy (its health check)", ""),
        "cache": ("healthy", "running (no health check)", ""),
    }
    assert "is already up" in checkout.inv("up").out
    assert checkout.inv("db.shell", stdin="SELECT 42").out.split()[2] == "42"
    assert "PONG" in checkout.inv("cache.shell", stdin="PING\n").out
    held = docker("run", "--detach", "--volume", f"{checkout.name}_data:/held", "redis:7-alpine").strip()
    said = checkout.inv("down", "--volumes", "--yes", check=False)
    docker("rm", "--force", held)
    assert said.code == 1
    assert "docker volume rm failed." in said.err
    assert "volume is in use" in said.err
    assert "is down" not in said.out
    checkout.inv("down")
    checkout.inv("up", "--engine", "embedded")
    found = checkout.services()
    assert {name: (each["state"], each["answer"]) for name, each in found.items()} == {
        "database": ("healthy", "accepting connections"),
        "cache": ("healthy", "PONG"),
    }
    assert len({each["address"] for each in found.values()} - {""}) == 2
