"""Which services run on embedded without an x-embedded, at which ports, and what the others lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackhand.local.engines.embedded import known
from stackhand.local.engines.embedded.servers.nginx import Site
from stackhand.project.memory import Memory
from stackhand.project.stack import loading, model
from stackhand.project.state import State
from stackhand.system import ports

FILE = """
services:
  web:
    image: {image}
    {more}
"""


def declared(folder: Path, image: str, more: str = "") -> tuple[model.Service, known.Chosen]:
    (folder / "compose.yaml").write_text(FILE.format(image=image, more=more))
    stack, chosen = known.declared(loading.load(folder, {}), State(folder))
    return stack.services["web"], chosen


@pytest.mark.parametrize(
    ("image", "more", "engine"),
    [
        ("postgres:14", "", "postgres"),
        ("docker.io/library/redis", "", "redis"),
        ("valkey/valkey:8@sha256:" + "0" * 64, "", "redis"),
        ("nginx:1.29", "volumes: ['./pages:/usr/share/nginx/html']", "nginx"),
        ("nginx", "volumes: ['./x.conf:/etc/nginx/conf.d/default.conf']", "nginx"),
        ("nginx", "", None),  # whatever it serves is in its image
        ("example.org/postgres:16", "", None),
        ("postgis/postgis", "", None),
        ("redis", "build: .", None),
        ("python:3.13", "", None),
    ],
)
def test_an_official_image_needs_no_key(tmp_path: Path, image: str, more: str, engine: str | None) -> None:
    service, chosen = declared(tmp_path, image, more)
    assert (service.embedded and service.embedded.engine) == engine
    assert set(chosen) == ({"web"} if engine else set())


def test_a_server_without_a_port_has_the_same_one_each_time_while_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, chosen = declared(tmp_path, "postgres")
    assert (service.port, service.ports[0].target) == (chosen["web"], 5432)
    assert known.FIRST <= chosen["web"] < known.FIRST + known.NUMBER
    state = State(tmp_path)
    state.make()
    state.write(Memory(chosen={"web": 18_999}))
    assert declared(tmp_path, "postgres")[1] == {"web": 18_999}
    monkeypatch.setattr(ports, "is_free", lambda port: port != 18_999)
    assert declared(tmp_path, "postgres")[1] != {"web": 18_999}
    assert declared(tmp_path, "postgres", "ports: ['8000:5432']")[1] == {}


def test_the_options_of_a_redis_count_and_nothing_is_thrown_away(tmp_path: Path) -> None:
    service, _ = declared(tmp_path, "redis", "command: redis-server --requirepass s3cret --maxmemory 1mb")
    assert (service.environment["REDIS_PASSWORD"], service.environment["REDIS_MAXMEMORY"]) == ("s3cret", "1mb")
    assert declared(tmp_path, "redis")[0].environment["REDIS_MAXMEMORY"] == "0"


@pytest.mark.parametrize(
    ("more", "lacks"),
    [
        ("{command: python -m http.server 8000, ports: ['80:8000']}", "{command: python -m http.server $$PORT}"),
        (
            "{command: [gunicorn, '--bind=0.0.0.0:8000'], ports: ['80:8000']}",
            "{command: gunicorn --bind=0.0.0.0:$$PORT}",
        ),
        ("{command: celery worker}", "{command: celery worker}"),
        ("{command: [sh, -c, 'a, b']}", """{command: "sh -c 'a, b'"}"""),
        ("{}", "{command: ...}"),
        ("{command: [-I, 1M]}", "{command: ...}"),  # options for a program that only the image knows
        (f"{{command: consumer {'--storage of-the-longest-name ' * 3}}}", "{command: ...}"),
    ],
)
def test_what_a_service_lacks_is_made_from_its_command(tmp_path: Path, more: str, lacks: str) -> None:
    (tmp_path / "compose.yaml").write_text(f"services: {{web: {{<<: {more}, image: x}}}}")
    assert known.advice(loading.load(tmp_path, {}).services["web"]) == f"x-embedded: {lacks}"


def test_server_blocks_are_those_of_the_image_at_a_port_and_paths_of_this_machine(
    tmp_path: Path,
) -> None:
    (tmp_path / "site.template").write_text(
        "server { listen 80; listen [::]:80 default_server; root /usr/share/nginx/html; "
        "location /api { proxy_pass http://${UPSTREAM}; proxy_set_header Host $host; } }"
    )
    mounts = "volumes: ['./pages:/usr/share/nginx/html', './site.template:/etc/nginx/templates/site.conf.template']"
    (tmp_path / "compose.yaml").write_text(
        FILE.format(image="nginx", more=f"{mounts}\n    environment: {{UPSTREAM: 'api:4000'}}")
        + "  api: {image: x, ports: ['9123:4000']}\n"
    )
    stack, chosen = known.declared(loading.load(tmp_path, {}), State(tmp_path))
    site = Site(stack.services["web"], stack, State(tmp_path))
    variables: dict[str, Any] = site.variables() | {"LISTEN": f"127.0.0.1:{chosen['web']}", "RUN": "data"}
    text = site._rendered(Path(), variables)
    assert f"listen 127.0.0.1:{chosen['web']};" in text
    assert "[::]" not in text
    assert f"root {tmp_path}/pages;" in text
    assert "proxy_pass http://127.0.0.1:9123;" in text
    assert "Host $host;" in text


def test_an_nginx_that_stopped_is_told_which_file_or_service_to_mend(tmp_path: Path) -> None:
    mounts = "volumes: ['./proxy/site.conf:/etc/nginx/conf.d/default.conf', './pages:/usr/share/nginx/html']"
    (tmp_path / "compose.yaml").write_text(FILE.format(image="nginx", more=mounts) + "  api: {image: x}\n")
    stack, _ = known.declared(loading.load(tmp_path, {}), State(tmp_path))
    site = Site(stack.services["web"], stack, State(tmp_path))
    emerg = "[emerg] 7#7: {} in .stackhand/config/web/nginx.conf:17"
    assert site.remedy([emerg.format('unknown directive "lisen"')]) == "fix proxy/site.conf, then ./inv up"
    missing = site.remedy([emerg.format('host not found in upstream "api"')])
    assert missing == "add x-embedded to api, which does not run on this engine, or ./inv up --engine compose"
    elsewhere = site.remedy([emerg.format('host not found in upstream "example.test:80"')])
    assert elsewhere == "fix proxy/site.conf, then ./inv up"
    assert "./inv logs web" in site.remedy(["killed"])
