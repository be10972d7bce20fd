"""An examination ends, whatever one of its checks does."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackhand.cli.failure import Failure
from stackhand.local import checks, doctor
from stackhand.local.checks import Check


def test_hanging_or_failing_check_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hangs() -> Iterator[Check]:
        yield Check("slow", "first", "pass", "seen")
        released.wait(60)

    def breaks() -> Iterator[Check]:
        yield from ()
        raise ZeroDivisionError("by nothing")

    def fails() -> Iterator[Check]:
        yield from ()
        raise Failure("It is not there.", evidence=["looked"], next="make it")

    monkeypatch.setattr(doctor, "TIMEOUT", 0.2)
    monkeypatch.setattr(checks, "CATEGORIES", {"slow": hangs, "broken": breaks, "failed": fails})
    found = doctor.examine()
    released.set()
    assert found == [
        Check("slow", "first", "pass", "seen"),
        Check("slow", "slow", "warn", "no answer within 0.2 s"),
        Check("broken", "broken", "fail", "the check itself failed: ZeroDivisionError: by nothing"),
        Check("failed", "failed", "fail", "It is not there. looked", "make it"),
    ]


def test_what_keeps_several_categories_from_an_answer_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    missing = ("fail", "There is no Compose file here. looked; nothing", "write one")
    doctor._show(
        [
            Check("services", "services", *missing),
            Check("ports", "5432", "pass", "free"),
            Check("ports", "ports", *missing),
            Check("targets", "targets", *missing),
            Check("stack", "stack", "pass", "not running"),
        ]
    )
    shown = capsys.readouterr().out
    assert (shown.count("There is no Compose file"), shown.count("write one")) == (1, 1)
    assert [line for line in shown.splitlines() if not line.startswith(" ")] == ["services", "ports", "stack"]


@pytest.mark.parametrize(
    ("example", "env", "found"),
    [
        ("", "", [("pass", "there is none, and no .env.example to make it from")]),
        ("A=1\n", "", [("warn", "does not exist yet")]),
        ("", "A=1\n", [("pass", "1 value")]),
        (
            "A=1\nDB_TOKEN=\nB=\n",
            "A=1\n",
            [("pass", "1 value"), ("warn", "lacks settings of .env.example: DB_TOKEN, B")],
        ),
        ("", "DB_TOKEN=x\n", [("pass", "1 value"), ("warn", "git does not ignore it, and it has secrets")]),
    ],
)
def test_settings_of_any_project_are_examined(
    example: str, env: str, found: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    for name, text in ((".env.example", example), (".env", env)):
        if text:
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o600)
    monkeypatch.setattr(checks, "PROJECT", tmp_path)
    assert [(each.status, each.message) for each in checks._settings()] == found


def test_secrets_in_a_file_that_is_committed_are_told_with_how_to_take_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["init", "--quiet"], ["add", ".env"]):
        (tmp_path / ".env").write_text("DB_TOKEN=x\n")
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / ".env").chmod(0o600)
    (tmp_path / ".gitignore").write_text(".env\n")  # which changes nothing for such a file
    monkeypatch.setattr(checks, "PROJECT", tmp_path)
    [_, found] = checks._settings()
    assert (found.status, found.message) == ("warn", "it is committed, and it has secrets")
    assert found.remedy.startswith("git rm --cached .env, and add .env to .gitignore")


def test_the_targets_of_a_known_image_include_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compose.yaml").write_text("services: {db: {image: 'postgres:16', privileged: true}}")
    monkeypatch.setattr(checks, "PROJECT", tmp_path)
    found = [(each.name, each.message) for each in checks._targets()]
    assert ("embedded", "privileged of db: a process is not isolated from this machine") in found
    assert ("aws", "no service has x-aws") in found


def test_services_that_lack_the_same_for_embedded_are_one_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = "db: {image: 'postgres:16'}, a: {image: x}, b: {image: x}, c: {image: x, command: [celery, worker]}"
    (tmp_path / "compose.yaml").write_text(f"services: {{{services}}}")
    monkeypatch.setattr(checks, "PROJECT", tmp_path)
    found = [(each.name, each.message, each.remedy.partition(" to what")[0]) for each in checks._services()]
    assert found[1:] == [
        ("embedded", "cannot run a, b", "add x-embedded: {command: ...}"),
        ("embedded", "cannot run c", "add x-embedded: {command: celery worker}"),
    ]
