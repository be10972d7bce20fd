"""What is said of the other engine's data, and what becomes of it, without an engine that runs."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.database import copydata
from stackhand.local import engines, otherengine
from stackhand.local import verbs as local
from stackhand.local.engines.compose import volumes
from stackhand.local.engines.compose.engine import Compose
from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.local.engines.status import StoredData
from stackhand.project import ownership
from stackhand.project.memory import ComposeProject, Memory
from stackhand.project.stack import loading
from stackhand.project.state import State

NOBODY = "unix:///nonexistent/docker.sock"
FILE = """\
name: shop-1234
services:
  postgres: {image: "postgres:16", ports: ["127.0.0.1:9001:5432"], x-embedded: {engine: postgres}}
"""


@pytest.fixture
def state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setenv("DOCKER_HOST", NOBODY)
    (folder / "docker-compose.yml").write_text(FILE)
    found = State(folder)
    found.make()
    return found


def data_on_embedded(state: State) -> None:
    (state.data / "postgres").mkdir()
    (state.data / "postgres" / "PG_VERSION").write_text("16\n")
    with state.edit() as memory:
        memory.engine, memory.name = "embedded", "shop-1234"


def used_compose(state: State, project: str = "shop-1234", root: str = "") -> None:
    with state.edit() as memory:
        memory.compose = ComposeProject(project, root or str(state.root))


def compose_of(state: State, monkeypatch: pytest.MonkeyPatch, own: list[StoredData]) -> Compose:
    engine = Compose(state, loading.load(state.root, {}))
    monkeypatch.setattr(engine, "data", lambda: own)
    return engine


@pytest.mark.parametrize(
    ("own", "copying", "second"),
    [
        ([], False, ["compose starts with new data; ./inv up --engine compose --copy-data copies the database"]),
        (
            [StoredData("the volume shop")],
            False,
            ["compose continues with its data: the volume shop; ./inv up --engine"],
        ),
        ([], True, []),
    ],
)
def test_a_change_of_the_engine_says_what_stays_behind(
    state: State, monkeypatch: pytest.MonkeyPatch, own: list[StoredData], copying: bool, second: list[str]
) -> None:
    data_on_embedded(state)
    first, *rest = otherengine.notes(compose_of(state, monkeypatch, own), copying=copying)
    assert first.startswith("embedded has data of this checkout that compose does not use: .stackhand/data/postgres (")
    assert "0.0 KiB, since 20" in first
    assert [said.startswith(begin) for said, begin in zip(rest, second, strict=True)] == [True] * len(second)


def test_the_same_engine_as_before_says_nothing(state: State) -> None:
    data_on_embedded(state)
    used_compose(state)
    assert otherengine.notes(EmbeddedEngine(state), copying=False) == []


def test_volumes_that_cannot_be_looked_at_are_not_called_none(state: State) -> None:
    state.write(Memory(engine="compose", name="shop-1234"))
    used_compose(state)
    said = otherengine.notes(EmbeddedEngine(state), copying=False)
    assert len(said) == 1
    assert said[0].startswith("compose may have data of this checkout, which could not be checked: ")


def test_volumes_that_cannot_be_looked_at_are_remembered_when_the_rest_is_removed(state: State) -> None:
    data_on_embedded(state)
    used_compose(state)
    left = otherengine.left(state, volumes=True)
    assert [str(each).partition(" ")[0] for each in left.data] == [".stackhand/data/postgres"]
    assert left.unknown[0].startswith("the data on compose could not be checked: ")
    stopped, unknown, _ = otherengine.stop(state, volumes=True)
    assert stopped == []
    assert unknown[0].startswith("the data on compose was not removed: ")
    assert not state.data.exists()
    assert engines.used(state)[1].name == "compose"


@pytest.mark.parametrize("volumes", [False, True])
def test_a_stray_file_beside_the_data_is_no_data(state: State, *, volumes: bool) -> None:
    data_on_embedded(state)
    (state.data / ".DS_Store").write_text("of a file manager")
    asked: list[str] = [str(each) for each in otherengine.left(state, volumes=volumes).data]
    assert [each.partition(" ")[0] for each in asked] == ([".stackhand/data/postgres"] if volumes else [])


def test_data_that_goes_while_it_is_looked_at_is_no_error(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    data_on_embedded(state)

    def gone(path: Path) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "lstat", gone)
    assert [str(each) for each in EmbeddedEngine(state).data()] == [".stackhand/data/postgres (0.0 KiB)"]


def test_an_engine_that_does_not_answer_is_told_beside_what_does_not_run(
    state: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data_on_embedded(state)
    used_compose(state)
    monkeypatch.setattr(local, "State", lambda _: state)
    local.down(volumes=False, yes=False)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "shop-1234 is not running."
    assert second.startswith("  but the data on compose could not be checked: ")


def test_removing_everything_forgets_everything_but_the_engine(state: State) -> None:
    data_on_embedded(state)
    assert otherengine.stop(state, volumes=True) == ([], [], [])
    assert state.read() == Memory(engine="embedded")


def test_data_that_cannot_be_removed_is_told_and_not_forgotten(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    data_on_embedded(state)

    def refuse(name: str, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", name)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(Failure) as raised:
            otherengine.stop(state, volumes=True)
    file = state.data / "postgres" / "PG_VERSION"
    assert raised.value.what == f"{file} cannot be removed: Permission denied."
    assert raised.value.evidence == (f"{file} belongs to {ownership.account()}",)
    assert raised.value.next.startswith(f"sudo rm -r {state.data}")
    assert state.read().name == "shop-1234"
    assert otherengine.stop(state, volumes=True) == ([], [], [])
    assert not state.data.exists()


def test_the_volumes_of_the_checkout_that_this_one_is_a_copy_of_are_left_alone(state: State, tmp_path: Path) -> None:
    used_compose(state, root=str(tmp_path))
    with pytest.raises(Failure, match="belong to the checkout"):
        volumes.require_own(state)
    used_compose(state, root="/nonexistent/moved")  # and is no more
    volumes.require_own(state)


def test_a_copy_from_an_engine_without_data_is_refused(state: State) -> None:
    with pytest.raises(Failure, match="This checkout has no data on compose to copy"):
        copydata.keep(EmbeddedEngine(state, loading.load(state.root, {})), print)


def test_a_copy_of_a_stack_that_was_renamed_since_is_refused(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    used_compose(state, project="shop-before")
    monkeypatch.setattr(Compose, "data", lambda _: [StoredData("the volume shop-before_postgres")])
    with pytest.raises(Failure) as raised:
        copydata.keep(EmbeddedEngine(state, loading.load(state.root, {})), print)
    assert raised.value.next == "set COMPOSE_PROJECT_NAME=shop-before in .env, then repeat the command"


@pytest.mark.parametrize("cause", [Failure("PostgreSQL does not start."), KeyboardInterrupt()], ids=repr)
def test_a_copy_that_fails_leaves_the_checkout_on_its_engine(
    state: State, monkeypatch: pytest.MonkeyPatch, cause: BaseException
) -> None:
    (state.data / "postgres").mkdir()
    (state.data / "postgres" / "PG_VERSION").write_text("16\n")
    before = Memory(engine="compose", name="shop-1234", services=["postgres", "web"])
    state.write(before)
    stopped: list[bool] = []

    def started(engine: EmbeddedEngine, *_: object) -> None:
        engine.state.write(Memory(engine="embedded", name="another", services=["postgres"]))
        raise cause

    monkeypatch.setattr(EmbeddedEngine, "start_only", started)
    monkeypatch.setattr(EmbeddedEngine, "down", lambda _, *, volumes: stopped.append(volumes))
    stack = loading.load(state.root, {})
    with pytest.raises(type(cause)):
        copydata.keep(Compose(state, stack), print)
    assert state.read() == before
    copied = copydata.Copied("from-compose", "compose", 16, before)
    with pytest.raises(type(cause)):
        copydata.restore(EmbeddedEngine(state, stack), copied, print)
    assert (state.read(), stopped) == (before, [False, False])


def test_a_newer_postgresql_is_refused_before_anything_is_replaced(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EmbeddedEngine(state, loading.load(state.root, {}))
    monkeypatch.setattr(engine, "start_only", lambda *_: None)
    monkeypatch.setattr(copydata.PostgreSQL, "sql", lambda *_, **__: "160014")
    replaced: list[object] = []
    monkeypatch.setattr(copydata.PostgreSQL, "replace", lambda *_: replaced.append(1))
    with pytest.raises(Failure) as raised:
        copydata.restore(engine, copydata.Copied("from-compose", "compose", 17), print)
    what = "The database on compose is PostgreSQL 17, but embedded runs 16, which cannot read it."
    assert (raised.value.what, replaced) == (what, [])
    assert raised.value.evidence == ("both are stopped, and their data is unchanged",)
    assert raised.value.next == "./inv up --engine compose"
    source: Any = SimpleNamespace(engine=SimpleNamespace(name="compose"), name="shop", sql=lambda *_, **__: "170001")
    with pytest.raises(Failure, match="PostgreSQL 17"):
        copydata._dumped(source, engine)


def test_the_first_start_names_volumes_that_it_did_not_make_and_how_to_have_others(state: State) -> None:
    (said,) = volumes.shared(state, ["shop_data"])
    assert "existing volumes, of docker compose or of another checkout: shop_data; COMPOSE_PROJECT_NAME=" in said
    used_compose(state)
    assert volumes.shared(state, ["shop_data"]) == []
