"""Compose resolves, we read: both programs give one model, all ways to be told files hold, and errors come through."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackhand.cli.failure import Failure
from stackhand.project.compose import resolution, resolver
from stackhand.project.compose.resolver import Resolver
from stackhand.project.stack import loading, model
from tests.checkout import ROOT

PLUGIN = resolver.plugin_program()
PROGRAMS = {
    "package": Resolver((str(resolver.PACKAGED),)),
    "docker": Resolver((str(PLUGIN),) if PLUGIN else resolver.DOCKER),
}
NEEDS_DOCKER = pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker command here")
NEEDED = {"POSTGRES_PASSWORD": "a$b", "DATABASE_PASSWORD": "b", "REDIS_PASSWORD": "c"}


@pytest.fixture(params=PROGRAMS)
def compose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Each program in turn."""
    if request.param == "docker" and shutil.which("docker") is None:
        pytest.skip("there is no docker command here")
    use(request.param, monkeypatch)
    return PROGRAMS[request.param]


def use(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "choose", lambda _root: PROGRAMS[name])


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


ONE = "services: {one: {image: x}}\n"


@pytest.mark.parametrize(
    ("text", "what", "evidence"),
    [
        (None, "There is no Compose file here.", "Compose looks for compose.yaml, compose.yml,"),
        ("", "Compose rejects compose.yaml.", "compose.yaml: empty compose file"),
        ("services:\n\tone: {image: x}\n", "Compose rejects compose.yaml.", "character that cannot start any token"),
        ("services: {one: {image: x}\n", "Compose rejects compose.yaml.", "did not find expected ',' or '}'"),
        ("hello\n", "Compose rejects compose.yaml.", "line 1: cannot"),
        (
            "services: {one: {image: x, depends_on: [two]}, two: {image: x, depends_on: [one]}}",
            "Compose rejects compose.yaml.",
            "dependency cycle detected",
        ),
        (
            "services: {one: {image: 'x:${TAG:?say which}'}}",
            "compose.yaml requires the variable TAG, which nothing sets.",
            "services.one.image: required variable TAG is missing a value: say which",
        ),
        (
            "services: {one: {image: x, colour: red}}",
            "Compose rejects compose.yaml.",
            "validating compose.yaml: services.one.colour: Compose has no such key",
        ),
        ("colour: red\n" + ONE, "Compose rejects compose.yaml.", "compose.yaml: colour: Compose has no such key"),
        ("services: {one: {image: x, env_file: [no.env]}}", "Compose rejects no.env.", "env file no.env not found"),
        ("services: {one: {image: x, ports: ['1:2:3:4']}}", "Compose rejects compose.yaml.", "ip address"),
        ("include: [more.yaml]\n" + ONE, "Compose rejects more.yaml.", "more.yaml: no such file"),
        ("services: {one: {image: '${A'}}", "Compose rejects compose.yaml.", "services.one.image"),
        ("services: {one: {image: x, depends_on: [no]}}", "Compose rejects compose.yaml.", 'undefined service "no"'),
        ("services: {one: {command: x}}", "Compose rejects compose.yaml.", "neither an image nor a build"),
    ],
)
def test_an_error_of_compose_is_one_paragraph_with_the_file(
    tmp_path: Path, compose: Resolver, text: str | None, what: str, evidence: str
) -> None:
    if text is not None:
        write(tmp_path, {"compose.yaml": text})
    with pytest.raises(Failure) as caught:
        loading.load(tmp_path, {})
    said = " ".join(caught.value.evidence)
    others = {"did not find expected ',' or '}'": "L1.C11-L2.C1", "ip address": "IP address", "undefined service": ""}
    assert caught.value.what == what
    assert evidence in said or others.get(evidence, evidence) in said
    assert (caught.value.code, caught.value.next != "") == (3, True)
    assert str(tmp_path) not in said or text is None


@pytest.mark.parametrize(
    ("text", "evidence"), [("A=1\nB C!=a-secret\n", "line 2: B C! is not a line of the form"), (None, "is a directory")]
)
def test_a_file_of_variables_that_cannot_be_read_is_named_without_its_values(
    tmp_path: Path, compose: Resolver, text: str | None, evidence: str
) -> None:
    write(tmp_path, {"compose.yaml": "services: {one: {image: x, env_file: [values.env]}}"})
    if text is None:
        (tmp_path / "values.env").mkdir()
    else:
        write(tmp_path, {"values.env": text})
    with pytest.raises(Failure) as caught:
        loading.load(tmp_path, {})
    assert (caught.value.what, caught.value.code) == ("Compose rejects values.env.", 3)
    assert evidence in " ".join(caught.value.evidence)
    assert "a-secret" not in caught.value.text()


TWO = "services: {two: {image: y}}\n"
EVERYTHING = {
    "compose.yaml": """
name: from-the-file
include: [more/compose.yaml]
x-base: &base {environment: {A: "1", SHARED: "${SHARED:-no}"}}
services:
  one:
    <<: *base
    image: x:${TAG}
    env_file: [{path: no.env, required: false}, one.env]
    extends: {file: base.yaml, service: base}
    ports: ["80", "8000-8001:80-81", "53:53/udp", "[::1]:82:82", "127.0.0.1::5000", "9000-9009:90"]
    x-health: /up
  debug: {image: d, profiles: [tools], depends_on: {one: {condition: service_started, required: false}}}
""",
    "compose.override.yaml": "services: {one: {command: ['run', '$$HOME'], environment: {PASSED: }}}\n",
    "base.yaml": "services: {base: {image: base, restart: always, environment: {B: base}}}\n",
    "more/compose.yaml": "services: {more: {build: {context: ., args: [TAG]}, environment: ['IN=${OF_MORE}']}}\n",
    "more/.env": "OF_MORE=its own\n",
    "one.env": "ONE='1$2'\nPASSED_ON\n",
    ".env": "TAG=3\nSHARED=.env\n",
}


@NEEDS_DOCKER
def test_both_programs_give_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, EVERYTHING)
    monkeypatch.setenv("COMPOSE_PROFILES", "tools")
    monkeypatch.setenv("PASSED", "by name")
    found = {}
    for name in PROGRAMS:
        use(name, monkeypatch)
        found[name] = [
            *(loading.load(root, NEEDED) for root in (tmp_path, ROOT)),
            resolution.ports_by_variable(ROOT, NEEDED),
        ]
    assert found["package"] == found["docker"]
    assert found["package"][2] == {5432: "POSTGRES_PORT", 6379: "REDIS_PORT", 4000: "API_PORT", 3000: "WEB_PORT"}
    stack = found["package"][0]
    assert (stack.name, list(stack.services)) == ("from-the-file", ["more", "one", "debug"])
    one = stack.services["one"]
    assert (one.image, one.command, one.restart, one.health) == ("x:3", ["run", "$HOME"], "always", "/up")
    assert one.environment == {"A": "1", "B": "base", "ONE": "1$2", "SHARED": ".env", "PASSED": "by name"}
    assert stack.services["more"].build == model.Build("more", args={"TAG": "3"})
    assert stack.services["more"].environment == {"IN": "its own"}


@pytest.mark.parametrize(
    ("files", "shell", "services", "name"),
    [
        ({"compose.yaml": ONE, "docker-compose.yml": TWO}, {}, ["one"], "compose.yaml"),
        (
            {"docker-compose.yaml": ONE, "docker-compose.override.yaml": TWO},
            {},
            ["one", "two"],
            "docker-compose.yaml, docker-compose.override.yaml",
        ),
        ({"a.yaml": ONE, "b.yaml": TWO}, {"COMPOSE_FILE": "a.yaml:b.yaml"}, ["one", "two"], "a.yaml, b.yaml"),
        (
            {"a.yaml": ONE, "b.yaml": TWO, ".env": "COMPOSE_FILE=a.yaml,b.yaml\nCOMPOSE_PATH_SEPARATOR=,\n"},
            {},
            ["one", "two"],
            "a.yaml, b.yaml",
        ),
    ],
    ids=["first name", "override", "shell", "env"],
)
def test_the_files_are_those_that_compose_would_take(
    files: dict[str, str], shell: dict[str, str], services: list[str], name: str, request: pytest.FixtureRequest
) -> None:
    tmp_path: Path = request.getfixturevalue("tmp_path")
    write(tmp_path, files)
    for key, value in shell.items():
        request.getfixturevalue("monkeypatch").setenv(key, value)
    stack = loading.load(tmp_path, {})
    assert (list(stack.services), stack.file) == (services, name)


def test_the_name_and_the_values_have_composes_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"shop/compose.yaml": "services: {one: {image: '${A:-default}'}}"})
    root = tmp_path / "shop"

    def found() -> tuple[str, str | None]:
        stack = loading.load(root, {})
        return stack.name, stack.services["one"].image

    assert found() == ("shop", "default")
    write(root, {".env": "A=env\nCOMPOSE_PROJECT_NAME=of-env\n", "other.env": "A=other\n"})
    assert found() == ("of-env", "env")
    monkeypatch.setenv("COMPOSE_ENV_FILES", "other.env")
    assert found()[1] == "other"
    monkeypatch.setenv("A", "shell")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "of-shell")
    assert found() == ("of-shell", "shell")


def test_settings_that_are_yet_to_be_written_are_used(tmp_path: Path) -> None:
    write(tmp_path, {"compose.yaml": "services: {one: {image: '${A:?}${B:-}'}}", ".env": "B=\n"})
    assert loading.load(tmp_path, {"A": "new", "B": "filled"}).services["one"].image == "newfilled"


def test_a_dotenv_that_is_yet_to_be_made_is_no_mistake_of_the_files(tmp_path: Path, compose: Resolver) -> None:
    write(tmp_path, {"compose.yaml": "services: {one: {image: 'x:${TAG:-1}', env_file: .env}}\n"})
    with pytest.raises(Failure, match=r"Compose rejects \.env"):
        resolution.resolve(tmp_path, {})
    write(tmp_path, {".env.example": "TAG=\n"})
    assert resolution.resolve(tmp_path, {"TAG": "2"})["services"]["one"]["image"] == "x:2"
    assert resolution.written(tmp_path)["services"]["one"]["image"] == "x:${TAG:-1}"


def test_without_a_new_docker_compose_the_package_resolves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    for version, package, chosen in (
        ("2.20.0", True, str(resolver.PACKAGED)),
        ("2.26.1", True, "docker"),
        ("2.20.0", False, None),
    ):
        docker = folder / "docker"
        docker.write_text(f"#!/bin/sh\necho {version}\n")
        docker.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(resolver, "PACKAGED", resolver.PACKAGED if package else folder / "none")
        resolver._version.cache_clear()
        if chosen:
            assert resolver.choose(tmp_path).command[0] == chosen
        else:
            with pytest.raises(Failure, match="There is no Compose that can read"):
                resolver.choose(tmp_path)
    resolver._version.cache_clear()


def test_the_plugin_of_docker_is_asked_itself_where_docker_would_start_that_very_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins, docker = tmp_path / "configuration" / "cli-plugins", tmp_path / "docker"
    plugins.mkdir(parents=True)
    monkeypatch.setenv("DOCKER_CONFIG", str(plugins.parent))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for program, version in ((docker, "2.30.0"), (plugins / "docker-compose", "2.30.0")):
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    resolver._version.cache_clear()
    assert resolver.choose(tmp_path).command == (str(plugins / "docker-compose"),)
    docker.write_text("#!/bin/sh\necho 2.29.0\n")  # such as one that goes to another machine
    resolver._version.cache_clear()
    assert resolver.choose(tmp_path).command == resolver.DOCKER
    resolver._version.cache_clear()


TEXT = st.text(alphabet="ab $'\"#:{}-é", max_size=6)
NAMES = ["alpha", "beta", "gamma"]
PORTS = st.one_of(
    st.integers(1, 65000).map(str),
    st.tuples(st.integers(1, 65000), st.integers(1, 65000)).map(lambda two: f"{two[0]}:{two[1]}"),
    st.tuples(st.sampled_from(["127.0.0.1", "[::1]", "0.0.0.0"]), st.integers(1, 65000)).map(
        lambda two: f"{two[0]}:{two[1]}:80/udp"
    ),
    st.integers(1, 60000).map(lambda first: f"{first}-{first + 2}:80-82"),
    st.fixed_dictionaries({"target": st.integers(1, 65000)}, optional={"published": st.sampled_from(["8000", "9-12"])}),
)
SERVICE = st.fixed_dictionaries(
    {"image": st.sampled_from(["x", "x:${TAG:-1}", "${IMAGE-none}/y"])},
    optional={
        "ports": st.lists(PORTS, max_size=3, unique_by=str),
        "environment": st.dictionaries(
            st.sampled_from(["A", "TAG", "E"]), st.none() | TEXT.map(lambda t: t.replace("$", "$$"))
        ),
        "env_file": st.just(["values.env"]),
        "profiles": st.lists(st.sampled_from(["on", "off"]), min_size=1, max_size=2, unique=True),
        "command": st.just(["run", "$$A", "${TAG}"]) | st.just("run 'a b' $$A"),
        "restart": st.sampled_from(["no", "always", "on-failure:3"]),
    },
)


@NEEDS_DOCKER
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    services=st.lists(SERVICE, min_size=1, max_size=3),
    waits=st.booleans(),
    shared=st.dictionaries(st.sampled_from(["SHARED", "OTHER"]), TEXT.map(lambda t: t.replace("$", "$$")), min_size=1),
    values=TEXT,
)
def test_the_model_is_what_docker_compose_config_prints(
    services: list[dict[str, Any]], waits: bool, shared: dict[str, str], values: str, tmp_path: Path
) -> None:
    """The reference is the JSON of the machine's own docker compose, and no code of ours."""
    document: dict[str, Any] = {"services": dict(zip(NAMES, services, strict=False))}
    if waits and len(services) > 1:
        document["services"]["beta"]["depends_on"] = {"alpha": {"condition": "service_started", "required": False}}
    document["services"]["alpha"]["labels"] = shared
    document["services"]["last"] = {"image": "z", "labels": shared}  # the same object: YAML gets an anchor
    quoted = values.replace("'", "")
    write(tmp_path, {"compose.yaml": yaml.safe_dump(document), "values.env": f"A='{quoted}'\nE=1\n", ".env": "TAG=7\n"})
    environment = {**resolution.environment(tmp_path, {}), "COMPOSE_PROFILES": "on"}
    args = [*resolver.DOCKER, "config", "--format", "json"]
    done = subprocess.run(args, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    expected = json.loads(done.stdout.replace("$$", "$"))["services"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPOSE_PROFILES", "on")
        use("package", patch)
        found = loading.load(tmp_path, {}).services
    assert set(found) == set(expected)
    for name, entry in expected.items():
        service = found[name]
        assert service.image == entry["image"]
        assert service.restart == entry.get("restart", "no")
        assert service.command == (entry.get("command") or [])
        assert set(service.depends_on) == set(entry.get("depends_on", {})) & set(expected)
        given_values = {key: value for key, value in (entry.get("environment") or {}).items() if value is not None}
        assert service.environment == given_values
        ports = [
            (each["target"], each.get("published", ""), each.get("host_ip", "")) for each in entry.get("ports", [])
        ]
        fixed = [(port, int(number) if number.isdigit() else None, address) for port, number, address in ports]
        assert [(each.target, each.published, each.address) for each in service.ports] == fixed
