"""Bad days that only containers have."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.checkout import Checkout, docker, eventually

pytestmark = pytest.mark.slow
ONE = """
name: ${COMPOSE_PROJECT_NAME}
services:
  redis:
    image: redis:7-alpine
    container_name: ${COMPOSE_PROJECT_NAME}-redis
    command: [redis-server, --requirepass, "${REDIS_PASSWORD}"]
    environment: {REDIS_PASSWORD: "${REDIS_PASSWORD}"}
    ports: ["127.0.0.1:${REDIS_PORT}:6379"]
    healthcheck: {test: [CMD, redis-cli, -e, ping], start_period: 60s, start_interval: 0.5s}
"""
DATABASE = """
name: ${COMPOSE_PROJECT_NAME}
services:
  postgres:
    image: postgres:16-alpine
    container_name: ${COMPOSE_PROJECT_NAME}-postgres
    user: postgres
    environment:
      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD}
      POSTGRES_USER: ${POSTGRES_USER}
      POSTGRES_DB: ${POSTGRES_DB}
    ports: ["127.0.0.1:${POSTGRES_PORT}:5432"]
    volumes: ["postgres:/var/lib/postgresql/data"]
    healthcheck:
      test: [CMD-SHELL, 'pg_isready -q -h 127.0.0.1 -U "$$POSTGRES_USER"']
      start_period: 60s
      start_interval: 0.5s
    x-embedded: {engine: postgres}
volumes: {postgres: {}}
"""
HUNGRY = """
  hungry:
    image: python:3.13-alpine
    command: python -c "bytearray(200_000_000)"
    mem_limit: 32m
    restart: on-failure:3
"""


@pytest.fixture
def small(checkout: Checkout) -> Checkout:
    """A checkout whose stack is one cache, for what no other service has a part in."""
    (checkout.path / "docker-compose.yml").write_text(ONE)
    return checkout


def test_an_image_that_cannot_be_pulled_is_named_with_the_ways_out(small: Checkout) -> None:
    image = "127.0.0.1:9/nobody/nothing:1"
    small.edit("docker-compose.yml", "image: redis:7-alpine", f"image: {image}")
    said = small.inv("up", check=False)
    assert said.code == 3
    assert f"The image {image} is not on this machine and cannot be pulled." in said.err
    for way in ("docker login", "mirror", "./inv up --engine embedded"):
        assert way in said.err


def test_a_base_image_that_cannot_be_pulled_is_told_alike(checkout: Checkout) -> None:
    checkout.edit("web/Dockerfile", "ARG BASE=nginx:1.30-alpine", "ARG BASE=127.0.0.1:9/nobody/base:1")
    said = checkout.inv("up", check=False)
    assert said.code == 3
    assert "The image 127.0.0.1:9/nobody/base:1 is not on this machine and cannot be pulled." in said.err


def test_a_build_that_fails_shows_the_last_lines_of_the_step_that_failed(checkout: Checkout) -> None:
    broken = 'RUN ["sh", "-c", "echo looking for flour; echo there is none >&2; exit 7"]\nUSER 101:101\n'
    checkout.edit("web/Dockerfile", "USER 101:101\n", broken)
    said = checkout.inv("up", check=False)
    assert said.code == 1
    assert "The image of web could not be built." in said.err
    assert said.err.index("looking for flour") < said.err.index("there is none")
    assert "next: fix web/Dockerfile, then ./inv up" in said.err
    assert "Traceback" not in said.err


def test_a_build_that_fails_in_a_folder_of_its_own_names_that_and_the_network(checkout: Checkout) -> None:
    (checkout.path / "mail").mkdir()
    said = "wget: bad address: Temporary failure in name resolution"
    (checkout.path / "mail" / "Dockerfile").write_text(f"FROM alpine:3.22\nRUN echo '{said}'; exit 4\n")
    checkout.edit("docker-compose.yml", "services:\n", "services:\n  mail: {build: ./mail}\n")
    refused = checkout.inv("up", check=False)
    assert (refused.code, said in refused.err) == (1, True), refused.err
    assert "next: check the network, with a proxy for builds" in refused.err
    assert "or fix mail/Dockerfile, then ./inv up" in refused.err


def test_a_name_taken_by_a_container_of_somebody_else_is_told_and_left_alone(checkout: Checkout) -> None:
    name = f"{checkout.name}-redis"
    labels = {"project": "their-shop", "project.working_dir": "/srv/their-shop"}
    flags = [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
    docker("run", "--detach", *flags, "--name", name, "redis:7-alpine")
    try:
        said = checkout.inv("up", check=False)
        assert said.code == 3
        assert f"The container name {name} is taken by the Compose project their-shop in /srv/their-shop." in said.err
        assert f"docker rm --force {name}" in said.err
        assert docker("ps", "--quiet", "--filter", f"name=^{name}$").strip()
    finally:
        docker("rm", "--force", name)


def test_a_port_taken_by_a_container_is_told_with_its_name(small: Checkout) -> None:
    port = small.ports["REDIS_PORT"]
    name = f"{small.name}-guest"
    docker("run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:6379", "redis:7-alpine")
    try:
        said = small.inv("up", check=False)
    finally:
        docker("rm", "--force", name)
    assert said.code == 5
    assert f"Port {port} is taken." in said.err
    assert f"container {name}" in said.err
    assert "next: ./inv up --free-ports" in said.err


def test_a_volume_that_no_server_ever_ran_on_is_made_again(checkout: Checkout) -> None:
    """An engine that stops while the volume is new leaves one that PostgreSQL cannot start on."""
    (checkout.path / "docker-compose.yml").write_text(DATABASE)
    volume = f"{checkout.name}_postgres"
    labels = {"project": checkout.name, "volume": "postgres"}
    flags = [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
    docker("volume", "create", *flags, volume)
    _in_volume(volume, "echo 16 > /data/PG_VERSION")
    said = checkout.inv("up")
    assert "postgres was interrupted while it first created its data folder; it is created again" in said.out
    assert checkout.superuser("SELECT 42").strip() == "42"


def test_a_container_without_memory_enough_is_told_with_what_to_raise(small: Checkout) -> None:
    (small.path / "docker-compose.yml").write_text(ONE + HUNGRY)
    said = small.inv("up", check=False)
    assert said.code == 4
    assert "hungry" in said.err
    assert "out of memory: raise its mem_limit" in said.err


def test_a_health_check_that_hangs_is_ended_and_told(small: Checkout) -> None:
    usual, hangs = "[CMD, redis-cli, -e, ping], start_period: 60s", "[CMD, sleep, '60'], start_period: 1s"
    small.edit("docker-compose.yml", usual, f"{hangs}, interval: 1s, timeout: 1s, retries: 3")
    said = small.inv("up", check=False)
    assert said.code == 4
    assert "redis did not become healthy" in said.err
    assert "last health check: Health check exceeded timeout (1s)" in said.err


def test_a_paused_container_is_told(running: Checkout) -> None:
    name = running.container("redis")["Name"]
    docker("pause", name)
    try:
        service = running.services()["redis"]
        assert service["state"] == "unhealthy"
        assert service["answer"] == f"no answer within 1 s: paused; docker unpause {name.lstrip('/')} resumes it"
    finally:
        docker("unpause", name)
    eventually(lambda: running.services()["redis"]["state"] == "healthy", "redis is healthy again")


def test_the_other_engine_is_refused_while_containers_run(running: Checkout) -> None:
    said = running.inv("up", "--engine", "embedded", check=False)
    assert said.code == 3
    assert "This checkout runs on compose, whose data embedded does not use." in said.err
    assert "next: ./inv down, then ./inv up --engine embedded" in said.err


def test_compose_sees_the_settings_as_we_do(checkout: Checkout) -> None:
    """Whatever letters a value has, `docker compose` by hand reads the same one."""
    from stackhand.project import settings

    checkout.env(POSTGRES_PASSWORD="'a\"b$c#d e{f}%g;h'", REDIS_PASSWORD="\"it's a $$ \\\\ '#' \\n line\"")
    ours = settings.ensure(checkout.path).values
    words = ["docker", "compose", "config", "--format", "json"]
    said = subprocess.run(words, cwd=checkout.path, capture_output=True, text=True, check=True)
    seen = json.loads(said.stdout)["services"]["redis"]["environment"]
    assert seen["REDIS_PASSWORD"].replace("$$", "$") == ours["REDIS_PASSWORD"]


def test_the_shell_names_the_compose_files_as_for_compose(running: Checkout) -> None:
    said = running.inv("up", check=False, COMPOSE_FILE="/nowhere/docker-compose.yml")
    assert (said.code, "no such file or directory" in said.err) == (3, True)
    assert running.inv("status", COMPOSE_FILE="/nowhere/docker-compose.yml").code == 0
    assert "is already up" in running.inv("up", COMPOSE_FILE="docker-compose.yml").out


def test_a_copy_of_a_running_checkout_leaves_the_containers_of_the_first_alone(running: Checkout, folder: Path) -> None:
    shutil.copytree(running.path, folder / "copy", symlinks=True)
    copy = Checkout(folder / "copy", running.ports, "compose")
    for words in (("down",), ("up",), ("restart", "api")):
        said = copy.inv(*words, check=False)
        assert said.code == 3
        assert f"The containers of {running.name} belong to the checkout {running.path}." in said.err
    assert running.ask("/health/ready")[0] == 200


def test_a_stack_that_was_renamed_while_it_ran_is_stopped_first_even_by_a_broken_file(running: Checkout) -> None:
    file, settings = running.path / "docker-compose.yml", running.path / ".env"
    before, good = settings.read_text(), file.read_text()
    running.env(COMPOSE_PROJECT_NAME=f"{running.name}-new")
    said = running.inv("up", check=False)
    assert said.code == 3
    assert f"The containers of this checkout belong to {running.name}, but .env names it" in said.err
    assert f"next: ./inv down, which stops {running.name}, then ./inv up" in said.err
    file.write_text("services: [not, a, map\n")
    said = running.inv("down")
    file.write_text(good)
    settings.write_text(before)
    assert "stopped: api, postgres, redis, web" in said.out
    assert f"{running.name} is down" in said.out


def test_a_volume_of_another_postgresql_is_told_and_not_touched(stopped: Checkout) -> None:
    volume = f"{stopped.name}_postgres"
    _in_volume(volume, "echo 15 > /data/PG_VERSION")
    said = stopped.inv("up", check=False)
    assert said.code == 4
    assert "postgres stopped while it started" in said.err
    assert "initialized by PostgreSQL version 15" in said.err
    assert "./inv down --volumes" in said.err
    assert _in_volume(volume, "cat /data/PG_VERSION; echo 16 > /data/PG_VERSION").strip() == "15"


def test_a_damaged_volume_of_a_clone_without_memory_is_never_removed(stopped: Checkout) -> None:
    volume, control = f"{stopped.name}_postgres", "/data/global/pg_control"
    (stopped.state / "state.json").unlink()
    _in_volume(volume, f"cp -p {control} {control}.whole; echo torn > {control}; echo mine > /data/kept")
    said = stopped.inv("up", check=False)
    assert said.code == 4
    assert "postgres stopped while it started" in said.err
    assert _in_volume(volume, f"cat /data/kept; mv {control}.whole {control}").strip() == "mine"


def _in_volume(volume: str, command: str) -> str:
    mount = ["--volume", f"{volume}:/data", "--user", "0", "--entrypoint", "sh"]
    return docker("run", "--rm", *mount, "postgres:16-alpine", "-c", command)
