"""What a project's overlay gets for the status service, as Compose and the service itself read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import SCHEMA, Address, Settings
from stackhand.adoption import statusservice
from stackhand.cli.failure import Failure
from stackhand.project.compose import composefiles
from stackhand.project.stack import loading
from stackhand.project.stack.model import Stack
from stackhand.system.roots import CONTENT

OFFICIAL = """
  db:
    image: postgres:16-alpine
    environment: {POSTGRES_PASSWORD: "${PG_PASS:-p@:/%41 #}", POSTGRES_USER: a/b}
  cache: {image: "redis:7-alpine"}
"""
LISTS = """
  db:
    image: ghcr.io/shop/postgis:16
    environment: [POSTGRES_DB=orders, POSTGRES_PASSWORD, "POSTGRES_USER=${OWNER:-shop}"]
    expose: [5432]
  cache:
    image: valkey/valkey:8
    command: [sh, -c, 'exec valkey-server --requirepass "$$SECRET" --save ""']
    environment: ["SECRET=${CACHE_PASS-c}"]
"""
IN_DOTENV = """
  db: {image: "postgres:16-alpine", env_file: [.env]}
  cache: {image: "redis:7-alpine", command: "redis-server --requirepass ${CACHE_PASS:-c d}"}
"""
TAKEN = """
  status: {image: shop, ports: ["3080:80", "127.0.0.1:4080:81"]}
  stackhand-status-api: {image: shop}
"""
SHOP = Address("db", 5432, "shop", "from .env", "orders", schema=SCHEMA)


def stack_of(folder: Path, services: str) -> Stack:
    """Return the stack of a project with these services."""
    (folder / "compose.yaml").write_text(f"name: shop\nservices:{services}", encoding="utf-8")
    return loading.load(folder, {})


def with_status(folder: Path, services: str) -> tuple[Stack, tuple[str, str, str]]:
    """Return the stack once its overlay has the entries, and their names."""
    stack = stack_of(folder, services)
    overlay = statusservice.overlay(stack)
    (folder / composefiles.OVERLAY).write_text(f"services:\n{overlay.services}\n{overlay.secrets}", encoding="utf-8")
    return loading.load(folder, {}), overlay.names


@pytest.mark.parametrize(
    ("services", "database", "cache"),
    [
        (OFFICIAL, Address("db", 5432, "a/b", "p@:/%41 #", "a/b", schema=SCHEMA), ""),
        (LISTS, SHOP, "c"),
        (IN_DOTENV, SHOP, "c d"),
    ],
    ids=["literals and defaults", "lists", "in .env"],
)
def test_service_connects_as_the_projects_own_settings_say(
    tmp_path: Path, services: str, database: Address, cache: str
) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD='from .env'\nPOSTGRES_USER=shop\nPOSTGRES_DB=orders\n")
    stack, (page, api, migrate) = with_status(tmp_path, services)
    settings = Settings.from_environment(stack.services[api].environment)
    assert (settings.database, settings.cache) == (database, Address("cache", 6379, "", cache, "0"))
    assert Settings.from_environment(stack.services[migrate].environment, cache=False).database == database
    assert stack.services[page].environment["API_UPSTREAM"] == f"http://{api}:4000"
    assert list(stack.services)[-3:] == [migrate, api, page]
    assert stack.watchers == [api]
    assert stack.services[page].embedded.template == str(CONTENT / "web" / "nginx.conf.template")  # type: ignore[union-attr]


def test_entries_take_no_name_and_no_port_of_the_project(tmp_path: Path) -> None:
    stack, names = with_status(tmp_path, OFFICIAL + TAKEN)
    assert names == ("stackhand-status2", "stackhand-status2-api", "stackhand-status2-migrate")
    assert [stack.services[name].port for name in names[:2]] == [3081, 4081]
    assert stack.services["status"].image == "shop"


def test_secret_of_a_file_is_asked_for_and_not_copied(tmp_path: Path) -> None:
    (tmp_path / "db.env").write_text("POSTGRES_PASSWORD=a-secret-of-the-file\n")
    services = OFFICIAL.replace(
        '{POSTGRES_PASSWORD: "${PG_PASS:-p@:/%41 #}", POSTGRES_USER: a/b}', "{}\n    env_file: db.env"
    )
    with pytest.raises(Failure, match=r"requires the variable STATUS_DATABASE_PASSWORD"):
        with_status(tmp_path, services)
    assert "a-secret-of-the-file" not in (tmp_path / composefiles.OVERLAY).read_text(encoding="utf-8")


def test_stack_without_a_server_that_it_needs_is_told_which(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"compose\.yaml has no PostgreSQL and no Redis\.") as caught:
        statusservice.overlay(stack_of(tmp_path, "\n  web: {image: shop}\n"))
    assert caught.value.next.startswith(
        "add a service with image: postgres:16-alpine and one with image: redis:7-alpine"
    )
