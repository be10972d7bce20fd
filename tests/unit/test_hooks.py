"""The project's hooks, as real programs: what they are told, what stops a verb, and what only is reported."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import hook_process, hooks
from stackhand.project.hooks import HookFacts, Hooks
from tests.checkout import ROOT, clean_environment, eventually

RECORD = 'echo "$STACKHAND_HOOK $STACKHAND_HOOK_OUTCOME $STACKHAND_HOOK_EXIT_CODE $STACKHAND_HOOK_FAILURE" >> record'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a folder for hooks."""
    for module in (hooks, hook_process):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    for name in (hooks.PREFIX, hooks.SKIP):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "hooks").mkdir()
    return tmp_path


def write(project: Path, name: str, *lines: str, mode: int = 0o755) -> None:
    path = project / "hooks" / name
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n", encoding="utf-8")
    path.chmod(mode)


def make(stage: str = "up", **how: bool) -> Hooks:
    return Hooks(stage, HookFacts("up", "shop"), "./inv up --skip-hooks", **how)


def record(project: Path) -> list[str]:
    path = project / "record"
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def test_hooks_surround_a_verb_and_are_told_about_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING_OF_THEIRS", "as it is")
    for name in ("pre-deploy", "post-deploy", "on-failure"):
        write(project, name, f"env > {name}.env", "pwd > where")
    facts = HookFacts("deploy", "shop", environment="staging", tag="v1")
    with Hooks("deploy", facts, "").around() as told:
        assert not (project / "post-deploy.env").exists()
        reported = {"stack": "shop-staging", "engine": "ecs", "url": "https://shop.example", "changed": True}
        told.learn({"release": "r1", "commit": "c0ffee", "services": {"api": {}, "web": {}}, **reported})
    before, after = ((project / f"{name}.env").read_text().splitlines() for name in ("pre-deploy", "post-deploy"))
    ours = {"STACKHAND_HOOK_VERB=deploy", "STACKHAND_HOOK_ENVIRONMENT=staging", "STACKHAND_HOOK_TAG=v1"}
    assert ours | {"STACKHAND_HOOK=pre-deploy", "SOMETHING_OF_THEIRS=as it is"} <= {*before}
    learned = {"RELEASE=r1", "COMMIT=c0ffee", "SERVICES=api,web", "CHANGED=true", "OUTCOME=done", "EXIT_CODE=0"}
    learned |= {"PROJECT=shop-staging", "ENGINE=ecs", "URL=https://shop.example"}
    assert ours | {f"STACKHAND_HOOK_{each}" for each in learned} <= {*after}
    names = {line.partition("=")[0].removeprefix("STACKHAND_HOOK_") for line in before}
    assert {"RECORDED_AT", "PERFORMER"} <= names
    assert not {"OUTCOME", "RELEASE", "SERVICES", "URL", "SECONDS"} & names
    assert any(re.fullmatch(r"STACKHAND_HOOK_SECONDS=\d+\.\d", line) for line in after)
    assert (project / "where").read_text().strip() == str(project)
    assert not (project / "on-failure.env").exists()


def test_a_failing_pre_hook_stops_the_verb_with_its_last_lines(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, "pre-up", "seq 1 20", "echo no VPN >&2", "exit 7")
    for name in ("post-up", "on-failure"):
        write(project, name, RECORD)
    with pytest.raises(Failure) as failed, make().around():
        pytest.fail("it goes on")
    assert failed.value.code == ExitCode.PREFLIGHT
    assert failed.value.what == "hooks/pre-up failed with exit code 7, so nothing else was done."
    assert failed.value.evidence == (*map(str, range(12, 21)), "no VPN")
    assert record(project) == [f"on-failure preflight 3 {failed.value.what}"]
    assert [line.partition("pre-up: ")[2] for line in capsys.readouterr().err.splitlines()][-2:] == ["20", "no VPN"]


def test_on_failure_is_told_what_to_run_and_no_secret(project: Path) -> None:
    write(project, "on-failure", 'echo "$STACKHAND_HOOK_FAILURE, $STACKHAND_HOOK_NEXT" >> record')
    failure = Failure("postgres://shop:hunter22@db/shop refused.", next="./inv up")
    with pytest.raises(Failure), make().around():
        raise failure
    assert record(project) == [f"{console.redacted(failure.what)}, {console.with_command('./inv up')}"]
    assert "hunter22" not in record(project)[0]


@pytest.mark.parametrize(
    ("code", "told"), [(ExitCode.ROLLED_BACK, True), (ExitCode.USAGE, False), (ExitCode.INTERRUPTED, False)]
)
def test_on_failure_runs_unless_the_user_erred_or_interrupted(project: Path, code: ExitCode, told: bool) -> None:
    for name in ("post-up", "on-failure"):
        write(project, name, RECORD)
    with pytest.raises(Failure), make().around():
        raise Failure("It did not work.", code=code)
    assert record(project) == (["on-failure rolled_back 10 It did not work."] if told else [])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("exit 3",), "hooks/post-up failed with exit code 3; the result stands"),
        (("kill -SEGV $$",), "hooks/post-up was ended by SIGSEGV; the result stands"),
    ],
)
def test_a_failing_post_hook_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], lines: tuple[str, ...], said: str
) -> None:
    write(project, "post-up", *lines)
    with make().around():
        pass
    output = capsys.readouterr()
    assert (output.out, said in output.err) == ("", True), output


@pytest.mark.parametrize("name", ["post-up", "on-failure"])
@pytest.mark.parametrize("link", [False, True])
def test_a_hook_that_is_not_executable_is_refused_before_anything(project: Path, name: str, *, link: bool) -> None:
    write(project, "pre-up", RECORD)
    if link:  # to what is not there
        (project / "hooks" / name).symlink_to("elsewhere")
    else:
        write(project, name, RECORD, mode=0o644)
    with pytest.raises(Failure, match=rf"^hooks/{name} is not executable\.$") as refused, make().around():
        pytest.fail("it goes on")
    assert refused.value.next.startswith(f"chmod +x hooks/{name}")
    assert record(project) == []


def test_a_script_without_an_interpreter_is_explained(project: Path) -> None:
    write(project, "pre-up")
    (project / "hooks" / "pre-up").write_text("echo hello\n", encoding="utf-8")
    with pytest.raises(Failure, match="hooks/pre-up cannot be run: Exec format error") as refused:
        make().before()
    assert refused.value.evidence == ("a script begins with a line such as #!/bin/sh",)


@pytest.mark.parametrize("how", ["flag", "variable", "within a hook"])
def test_hooks_are_skipped(project: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    write(project, "pre-up", "exit 1")
    write(project, "post-up", RECORD)
    if how != "flag":
        monkeypatch.setenv(hooks.SKIP if how == "variable" else hooks.PREFIX, "1")
    with make(skip=how == "flag").around():
        pass
    assert record(project) == []


def test_a_resumed_verb_has_had_its_pre_hook(project: Path) -> None:
    write(project, "pre-up", "exit 1")
    write(project, "post-up", RECORD)
    with make(resumed=True).around():
        pass
    assert record(project) == ["post-up done 0"]


def test_a_hook_that_takes_too_long_is_ended_with_its_children(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hook_process.TIMEOUT, "0.3")
    write(project, "pre-up", "sleep 60 &", "echo $! > child", "wait")
    with pytest.raises(Failure, match=r"hooks/pre-up did not end within 0\.3 s"):
        make().before()
    eventually(lambda: not _alive(int((project / "child").read_text())), "its child ends", 10)


@pytest.mark.parametrize("seconds", ["0", "soon", "nan"])
def test_a_time_that_no_hook_can_have_runs_none(project: Path, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv(hook_process.TIMEOUT, seconds)
    write(project, "pre-up", RECORD)
    with pytest.raises(Failure, match="hooks/pre-up was not run: STACKHAND_HOOK_TIMEOUT must be a number of seconds"):
        make().before()
    assert record(project) == []


def test_what_a_hook_leaves_in_the_background_is_not_waited_for(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, "pre-up", "sleep 60 &", "echo $! > child", r"printf 'a\r\nunfinished'")
    make().before()
    assert [line.partition(": ")[2] for line in capsys.readouterr().err.split("\n")] == ["a", "unfinished", ""]
    child = int((project / "child").read_text())
    assert _alive(child)
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [
        ("pre-up", "before", "Interrupted during hooks/pre-up; nothing else was done."),
        ("post-up", "after", "hooks/post-up was interrupted; the result stands"),
    ],
)
def test_an_interruption_ends_a_hook(project: Path, name: str, method: str, said: str) -> None:
    write(project, name, "echo $$ > child", "exec sleep 60")
    code = f"from stackhand.project import hooks; hooks.Hooks('up', hooks.HookFacts('up', 'shop'), '').{method}()"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=clean_environment(STACKHAND_PROJECT=str(project)),
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: (project / "child").exists() and (project / "child").read_text(), "the hook runs")
    child.send_signal(signal.SIGINT)
    assert said in child.communicate(timeout=30)[1]
    eventually(lambda: not _alive(int((project / "child").read_text())), "the hook ends", 10)


def test_a_file_that_is_almost_a_hook_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("pre-up.sh", "pre_deploy", "useCart.ts", "post-up.sample"):
        write(project, name)
    make().before()
    said = capsys.readouterr().err
    assert "hooks/pre-up.sh is not run: name it pre-up" in said
    assert "hooks/pre_deploy is not run: name it pre-deploy" in said
    assert "useCart" not in said
    assert "sample" not in said


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
