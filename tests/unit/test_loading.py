"""What Compose resolves, field by field, as the stack and its services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackhand.cli.failure import Failure
from stackhand.project.stack import kinds, loading
from stackhand.project.stack.model import Build, Port, Service, Stack
from stackhand.project.stack.xaws import Fargate, Job, Managed

LITTLE = Service(
    name="one",
    image=None,
    build=None,
    command=[],
    environment={},
    ports=(),
    depends_on=(),
    restart="no",
    checked=False,
    job=False,
    health=None,
    embedded=None,
    aws=None,
)


def of(tmp_path: Path, file: str = "compose.yaml", **services: dict[str, Any]) -> Stack:
    return loading.of(tmp_path, {"name": "shop", "services": services}, file)


def one(tmp_path: Path, **entry: Any) -> Service:
    """Return a service of these keys, beside two others."""
    return of(tmp_path, one=entry, two={"image": "b"}, three={"image": "c"}).services["one"]


def test_a_service_that_says_nothing_has_nothing(tmp_path: Path) -> None:
    assert one(tmp_path) == LITTLE


def test_a_service_that_says_everything_has_all_of_it(tmp_path: Path) -> None:
    found = one(
        tmp_path,
        image="shop/one",
        build={"context": str(tmp_path / "app"), "dockerfile": "docker/File", "args": {"A": 1, "B": None}},
        command="run --name 'a b'",
        environment={"LEVEL": "info", "UNSET": None, "HEALTH_TARGETS": None},
        ports=[
            {"target": 53, "published": "5353", "protocol": "udp", "host_ip": "127.0.0.1"},
            {"target": 80, "published": "8000"},
            {"target": 81, "published": "9000-9010"},
            {"target": 82, "published": "0"},
        ],
        expose=["4000"],
        restart="unless-stopped",
        scale=3,
        pre_stop=[{"command": "sync"}],
        volumes=[
            {"type": "bind", "source": "/host/data", "target": "/data/"},
            {"type": "volume", "source": "kept", "target": "/kept"},
        ],
        depends_on={
            "two": {"condition": "service_completed_successfully", "required": False},
            "three": {"condition": "service_started", "restart": True, "required": True},
            "gone": {"condition": "service_started", "required": False},
        },
        **{"x-health": "/up"},
    )
    assert found == Service(
        name="one",
        image="shop/one",
        build=Build("app", "docker/File", {"A": "1"}),
        command=["run", "--name", "a b"],
        environment={"LEVEL": "info", "HEALTH_TARGETS": ""},
        ports=(
            Port(53, 5353, "127.0.0.1", "udp"),
            Port(80, 8000, "", "tcp"),
            Port(81, None, "", "tcp"),
            Port(82, None, "", "tcp"),
        ),
        depends_on=("two", "three"),
        restart="unless-stopped",
        checked=True,
        job=False,
        health="/up",
        embedded=None,
        aws=None,
        jobs=("two",),
        follows=("three",),
        optional=("two",),
        replicas=3,
        exposed=4000,
        pre_stop=True,
        binds={"/data": "/host/data"},
        kind="web",
    )


def test_a_build_that_names_nothing_is_of_the_folder_of_the_project(tmp_path: Path) -> None:
    assert one(tmp_path, build={}).build == Build(".", "Dockerfile", {})
    remote = "https://example.org/shop.git"
    assert one(tmp_path, build={"context": remote}).build == Build(remote, "Dockerfile", {})


@pytest.mark.parametrize(
    ("keys", "restart"),
    [
        ({}, "no"),
        ({"restart": "always"}, "always"),
        ({"deploy": {}}, "no"),
        ({"deploy": {"restart_policy": {}}}, "always"),
        ({"deploy": {"restart_policy": {"condition": "any"}}}, "always"),
        ({"deploy": {"restart_policy": {"condition": "none"}}}, "no"),
        ({"deploy": {"restart_policy": {"condition": "on-failure"}}}, "on-failure"),
        ({"restart": "no", "deploy": {"restart_policy": {"condition": "any"}}}, "no"),
    ],
)
def test_whether_it_is_started_again(tmp_path: Path, keys: dict[str, Any], restart: str) -> None:
    assert one(tmp_path, **keys).restart == restart


@pytest.mark.parametrize(
    ("keys", "replicas"),
    [({}, 1), ({"deploy": {"replicas": 2}}, 2), ({"scale": 0, "deploy": {"replicas": 2}}, 0), ({"deploy": {}}, 1)],
)
def test_how_many_containers_it_has(tmp_path: Path, keys: dict[str, Any], replicas: int) -> None:
    assert one(tmp_path, **keys).replicas == replicas


@pytest.mark.parametrize(
    ("check", "checked"),
    [
        (None, False),
        ({}, False),
        ({"test": ["CMD", "true"]}, True),
        ({"interval": "5s"}, True),
        ({"test": ["NONE"]}, False),
        ({"test": ["CMD", "true"], "disable": True}, False),
        ({"test": ["CMD", "true"], "disable": False}, True),
    ],
)
def test_whether_its_health_is_checked(tmp_path: Path, check: dict[str, Any] | None, checked: bool) -> None:
    assert one(tmp_path, healthcheck=check).checked is checked


@pytest.mark.parametrize(
    ("keys", "follows"),
    [
        ({"network_mode": "service:two"}, {"two"}),
        ({"ipc": "service:two", "pid": "service:three"}, {"two", "three"}),
        ({"network_mode": "host", "ipc": "shareable", "pid": None}, set()),
        ({"depends_on": {"two": {"restart": True}, "three": {"restart": False}}}, {"two"}),
        ({"depends_on": {"two": {"restart": True}}, "pid": "service:three"}, {"two", "three"}),
    ],
)
def test_with_which_services_it_is_started_again(tmp_path: Path, keys: dict[str, Any], follows: set[str]) -> None:
    assert {*one(tmp_path, **keys).follows} == follows


def test_services_are_started_again_behind_those_that_they_follow(tmp_path: Path) -> None:
    stack = of(
        tmp_path,
        last={"depends_on": {"middle": {"restart": True}}},
        middle={"depends_on": {"first": {"restart": True}}},
        first={},
        other={"depends_on": {"first": {"condition": "service_started"}}},
    )
    assert next(iter(stack.services)) == "first"
    assert stack.followers(["first"]) == ["middle", "last"]
    assert stack.followers(["middle"]) == ["last"]
    assert stack.followers(["first", "middle"]) == ["last"]
    assert stack.followers(["other"]) == []


@pytest.mark.parametrize("key", ["x-health", "x-embedded"])
def test_a_path_that_nobody_can_request_is_refused_with_its_place(tmp_path: Path, key: str) -> None:
    written: Any = "/up" if key == "x-health" else {"command": "serve", "ready": "/up"}
    udp = [{"target": 53, "published": "53", "protocol": "udp"}]
    place = {"x-health": r"services\.one\.x-health", "x-embedded": r"services\.one\.x-embedded\.ready"}[key]
    with pytest.raises(Failure, match=rf"^compose\.yaml: {place} must be set together with ports or expose: its path"):
        one(tmp_path, ports=udp, **{key: written})
    assert one(tmp_path, expose=["80"], **{key: written}).exposed == 80
    tcp = [*udp, {"target": 80, "published": "8000"}]
    assert one(tmp_path, ports=tcp, **{key: written}).ports[1].target == 80


def test_what_is_wrong_is_told_of_the_overlay_where_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"^compose\.stackhand\.yaml: services\.one\.x-health"):
        of(tmp_path, "compose.yaml, compose.stackhand.yaml", one={"x-health": "/up"})
    with pytest.raises(Failure, match=r"x-heath"):
        one(tmp_path, **{"x-heath": "/up"})


def test_a_stack_without_a_name_is_called_like_its_folder(tmp_path: Path) -> None:
    found = loading.of(tmp_path, {"services": {"one": {}}}, "compose.yaml")
    assert (found.name, found.root, found.file, [*found.services]) == (
        tmp_path.name,
        tmp_path,
        "compose.yaml",
        ["one"],
    )
    assert loading.of(tmp_path, {"name": "shop"}, "compose.yaml").services == {}


def test_a_job_is_known_by_who_waits_for_it_or_by_its_mode(tmp_path: Path) -> None:
    stack = of(
        tmp_path,
        migrate={},
        web={"depends_on": {"migrate": {"condition": "service_completed_successfully"}}},
        once={"deploy": {"mode": "replicated-job"}},
    )
    assert {name: each.job for name, each in stack.services.items()} == {"migrate": True, "web": False, "once": True}
    assert stack.services["web"].jobs == ("migrate",)
    assert {name: each.kind for name, each in stack.services.items()}["migrate"] == "job"


@pytest.mark.parametrize(
    ("port", "shown"),
    [
        (Port(80, 8000), "127.0.0.1:8000"),
        (Port(80, 8000, ""), "0.0.0.0:8000"),
        (Port(80, 8000, "::1"), "[::1]:8000"),
        (Port(53, 5353, "10.0.0.1", "udp"), "10.0.0.1:5353/udp"),
        (Port(80, None), "a port that the engine chooses for 80"),
    ],
)
def test_how_a_port_is_shown(port: Port, shown: str) -> None:
    assert str(port) == shown


@pytest.mark.parametrize(
    ("keys", "aws", "command", "status"),
    [
        ({"command": "migrate 'a b'", "x-aws": {"release": {}}}, Job, ["migrate", "a b"], []),
        ({"command": "x", "x-aws": {"release": {"status": "x 'of it'"}}}, Job, ["x"], ["x", "of it"]),
        ({"command": "x", "x-aws": {"schedule": "rate(1 day)"}}, Job, [], []),
        ({"expose": ["80"], "x-aws": {"release": "migrate it"}}, Fargate, ["migrate", "it"], []),
        ({"expose": ["80"], "x-aws": {"release": {"command": "a", "status": "b"}}}, Fargate, ["a"], ["b"]),
        ({"expose": ["80"], "x-aws": {}}, Fargate, [], []),
        ({"command": "x"}, type(None), [], []),
    ],
)
def test_the_command_that_brings_a_database_up_to_date(
    tmp_path: Path, keys: dict[str, Any], aws: type, command: list[str], status: list[str]
) -> None:
    waits = {"build": {}, "depends_on": {"one": {"condition": "service_completed_successfully"}}}
    job = "command" in keys and isinstance(keys.get("x-aws", {}).get("release"), dict)
    found = of(tmp_path, one={"build": {}, **keys}, two=waits if job else {}).services["one"]
    assert (type(found.aws), found.migrate, found.migration("status")) == (aws, command, status)


def test_each_field_of_x_aws_says_which_kinds_have_it() -> None:
    fields = {each.encode_name for kind in (Fargate, Job, Managed) for each in msgspec.structs.fields(kind)}
    assert fields - {"kind"} == kinds.BELONGS.keys()
