"""The command line of `./inv`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stackhand.ansible import process
from stackhand.local import verification
from stackhand.tasks.program import Inv
from tests.checkout import ROOT, clean_environment

INVOKE = str(Path(sys.executable).with_name("invoke"))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("logs", "logs"),
        ("logs api web", "logs --service api --service web"),
        ("logs --lines 5 api --follow", "logs --lines 5 --service api --follow"),
        ("logs api --since 10m", "logs --service api --since 10m"),
        ("restart", "restart"),
        ("open api", "open --service api"),
        ("shell api", "shell api"),
        ("down up", "down up"),
    ],
)
def test_names_behind_a_verb_are_its_services(typed: str, meant: str) -> None:
    program = Inv(name="inv")
    program.create_config()
    program.parse_core(["inv", *typed.split()])
    program.parse_collection()
    assert program.names_as_flags(typed.split()) == meant.split()


@pytest.mark.parametrize("content", ["run: [", "- a list"])
def test_settings_of_invoke_are_read_from_no_file_and_no_variable(tmp_path: Path, content: str) -> None:
    """They would be those of another project, and a home need not be readable (`sudo -u nobody`)."""
    for name in (".invoke.yaml", ".inv.yaml"):
        (tmp_path / name).write_text(content, encoding="utf-8")
    variables = {"HOME": str(tmp_path)} | {f"{prefix}_RUN_ENV": "x" for prefix in ("INVOKE", "INV")}
    usual, changed = (
        subprocess.run(
            [sys.executable, "-m", "stackhand", "status"],
            cwd=ROOT,
            env=clean_environment() | more,
            capture_output=True,
            text=True,
            check=False,
        )
        for more in ({}, variables)
    )
    assert (changed.returncode, changed.stdout, changed.stderr) == (usual.returncode, usual.stdout, usual.stderr)


def inv(typed: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "stackhand", *typed.split()]
    return subprocess.run(argv, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("typed", "words", "verb"),
    [
        ("logs --lines abc", "--lines needs a number, not 'abc'", "--help logs"),
        ("logs --lines=it's", '--lines needs a number, not "it\'s"', "--help logs"),
        ("up --timeout abc", "--timeout needs a number, not 'abc'", "--help up"),
        ("-D soon --list", "-D needs a number, not 'soon'", "--help"),
        ("--help nosuch", "No idea what 'nosuch' is!", "--list"),
        ("help nosuch", "No idea what 'nosuch' is!", "--list"),
        ("hull", "No idea what 'hull' is!", "--list"),
        ("start", "No idea what 'start' is!", "./inv up"),
        ("up -e staging", "up works on this machine and takes no environment", "./inv plan -e staging"),
        ("-e staging plan", "-e is a flag of plan, and stands behind it.", "./inv plan -e staging"),
        ("--environment=staging plan", "--environment is a flag of plan", "./inv plan --environment=staging"),
        ("-f a.yaml --json status", "--json is a flag of status", "./inv -f a.yaml status --json"),
        ("-e staging up", "up works on this machine and takes no environment", "./inv plan -e staging"),
        ("--dry deploy -e staging", "No idea what '--dry' is!", "--help deploy"),
        ("--print-completion-script nosuch", 'Completion for shell "nosuch" not supported', "--list"),
        ("up --enigne x", "No idea what '--enigne' is!", "--help up"),
        (
            "plan --json",
            "plan needs an environment.\n  known: production, rehearsal, staging",
            "./inv plan --json -e staging",
        ),
        ("cloud.exec", "needs an environment and a service.", "./inv cloud.exec -e staging --service SERVICE"),
        ("db.snapshot", "db.snapshot needs a name.", "./inv db.snapshot --name NAME"),
        ("logs -l", "--lines needs a value.", "--help logs"),
        ("--help statsu", "No idea what 'statsu' is!", "status"),
        ("logs --lines 0", "--lines 0 shows nothing.", "use a number from 1"),
        ("up --timeout nan", "--timeout nan is not a valid time.", "seconds, above 0"),
    ],
)
def test_wrong_usage_is_a_sentence_with_what_to_do_next(typed: str, words: str, verb: str) -> None:
    said = inv(typed)
    assert said.returncode == 2
    assert words in said.stderr
    assert said.stderr.splitlines()[-1].endswith(verb)
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("", "Available verbs:"),
        ("help", "Available verbs:"),
        ("help up", "wait until every service is healthy"),
        ("--help", "Usage: ./inv [options] VERB"),
        ("--help logs", "Usage: ./inv logs [SERVICE ...] [options]\n\nShow service logs."),
        ("--help run", "Usage: ./inv run JOB [options]\n"),
    ],
)
def test_help_is_the_list_or_that_of_a_verb(typed: str, shown: str) -> None:
    said = inv(typed)
    assert (said.returncode, said.stderr) == (0, "")
    assert shown in said.stdout


@pytest.mark.parametrize(
    ("typed", "streams", "code"),
    [
        ("--list", ">&-", 1),
        ("--list", ">/dev/full", 1),
        ("--list", "2>&-", 0),
        ("status --json", ">/dev/full", 1),
        ("status", "<&- >&- 2>&-", 1),
        ("nosuch", "2>/dev/full", 2),
        ("nosuch", ">&-", 2),
        ("logs --lines 0", "2>/dev/full", 2),
        ("up --engine nosuch --json", ">/dev/full", 1),
    ],
)
def test_a_stream_that_takes_nothing_is_told_and_ends_with_a_code(typed: str, streams: str, code: int) -> None:
    words = ["sh", "-c", f"{sys.executable} -m stackhand {typed} {streams}"]
    said = subprocess.run(words, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    assert said.returncode == code
    assert "Traceback" not in said.stderr
    assert "Exception ignored" not in said.stderr
    assert ("stdout cannot be written" in said.stderr) is (code == 1 and "2>" not in streams)


@pytest.mark.parametrize("typed", ["doctor", "doctor --json", "up --engine nosuch --json"])
def test_a_reader_of_plain_invoke_that_goes_away_is_no_fault(typed: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    argv = [INVOKE, *typed.split()]
    said = subprocess.run(argv, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert not any(word in said.stderr for word in ("bug in Stackhand", "Traceback", "Exception ignored")), said.stderr


def test_plain_invoke_tells_of_a_full_disk() -> None:
    argv = f"{INVOKE} status --json >/dev/full"
    said = subprocess.run(["sh", "-c", argv], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (1, "inv: stdout cannot be written: No space left on device.\n")


def test_a_reader_of_the_list_that_goes_away_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-m", "stackhand", "--list"]
    said = subprocess.run(argv, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (said.returncode, said.stderr) == (0, "")


HOLD = """
import atexit, sys

def hold():
    print("held", flush=True)
    sys.stdin.readline()

class Finder:
    def find_spec(self, name, *_):
        if name == {held!r}:
            hold()

sys.meta_path.insert(0, Finder())
if {held!r} == "the end":
    atexit.register(hold)
"""


@pytest.mark.parametrize(
    ("held", "number", "code"),
    [
        ("stackhand.tasks.program", signal.SIGINT, 130),
        ("stackhand.tasks", signal.SIGTERM, 130),
        ("the end", signal.SIGINT, 0),
    ],
)
def test_an_interruption_before_or_after_all_work_is_no_traceback(
    tmp_path: Path, held: str, number: int, code: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HOLD.format(held=held))
    child = subprocess.Popen(
        [sys.executable, "-m", "stackhand", "--list"],
        cwd=ROOT,
        env=clean_environment(PYTHONPATH=str(tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    said = iter(child.stdout.readline, "")
    assert "held\n" in said  # reads until then
    child.send_signal(number)
    _, err = child.communicate("\n", timeout=30)
    assert (child.returncode, err) == (code, "")


def test_a_playbook_gets_its_variables_as_one_json_object() -> None:
    words = process.command("up", {"stack_timeout": 5, "stack_engine": 'it\'s "quoted"', "stack_services": ["a"]})
    assert words[:5] == [sys.executable, "-P", "-m", "stackhand.ansible.start", str(ROOT / "playbooks" / "up.yml")]
    text = {"__ansible_unsafe": 'it\'s "quoted"'}
    assert json.loads(words[6]) == {
        "stack_timeout": 5,
        "stack_engine": text,
        "stack_services": [{"__ansible_unsafe": "a"}],
    }


def test_the_slowest_path_is_the_chain_that_took_longest() -> None:
    seconds = {"postgres": 2.0, "redis": 1.0, "api": 1.0, "web": 0.5, "docs": 3.2}
    after = {"api": ["postgres", "redis"], "web": ["api"]}
    assert verification.slowest_path(seconds, after) == ["postgres", "api", "web"]
    assert verification.slowest_path({}, {}) == []
