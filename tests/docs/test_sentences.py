"""What a verb says when it fails: its next command works, and docs/operations.md has all of a deploy."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
from functools import cache

import pytest
from invoke.exceptions import Exit

from tests.checkout import ROOT
from tests.docs import sentences
from tests.unit.test_usage import parsed

ASKED = ("docker", "git", "terraform")
PROGRAMS = ("./inv", "aws", "docker", "git", "sudo", "terraform", r"\.venv/bin/ansible-playbook")
COMMAND = re.compile(rf"(?:(?<=^)|(?<=[ (]))(?:{'|'.join(PROGRAMS)}) (?:(?! \(|[,;)]|: | && ).)+")
PROSE = re.compile(
    r" (?:shows?|says?|makes?|creates?|generates?|works?|lists?|removes?|takes?|first|once|again|to|if|and|with|for|or"
    r"|where|instead|in|there|on|is|then|needs?|goes|as|without)\b.*"
)
"""Where a sentence goes on behind a command."""
SAMPLES = {"ENGINE": "compose", "VERB": "db.status", "TIMEOUT": "60", "PORT": "8080"}


def commands() -> list[str]:
    """Return each command that is advised anywhere, with an example for what varies."""
    ends = [*sentences.of("stackhand", "roles"), *sentences.diagnoses()]
    nexts = {text for each in ends for text in each.next}
    found = {PROSE.sub("", command[0]) for text in nexts for command in COMMAND.finditer(text)}
    return sorted(
        {re.sub(r"[A-Z_]{2,}", lambda name: SAMPLES.get(name[0], "x"), each) for each in found if " " in each}
    )


@pytest.mark.skipif(not all(map(shutil.which, ASKED)), reason=f"one of {', '.join(ASKED)} is not on PATH")
def test_every_suggested_command_exists() -> None:
    """Read by the program itself, or by what it says of its own commands; found here, for each worker collects."""
    suggested = commands()
    assert len(suggested) > 50
    for command in suggested:
        assert_exists(command)


def assert_exists(command: str) -> None:
    program, *words = shlex.split(command)
    if program == "sudo" and words[:1] == ["-u"]:
        words = words[2:]
    match program:
        case "./inv" if words[0].startswith("--install-"):
            assert "    --install-cloud)" in (ROOT / "inv").read_text(encoding="utf-8")
        case "./inv":
            assert_read_by_inv(words, command)
        case "aws":
            assert_known_to_aws(words)
        case ".venv/bin/ansible-playbook":
            assert (ROOT / words[0]).is_file()
        case "sudo" if words[:1] == ["./inv"]:
            assert_read_by_inv(words[1:], command)
        case "sudo":
            assert shutil.which(words[0]), command
        case "git" if words[0] == "lfs":
            pass  # a program of its own, which is not everywhere
        case _:
            assert words[0] in subcommands(program), command


def test_operations_lists_every_sentence_of_a_deploy() -> None:
    now = sentences.OPERATIONS.read_text(encoding="utf-8")
    assert now == sentences.written(), "write it again: .venv/bin/python -m tests.docs.sentences"


def test_no_sentence_is_made_of_variables_alone() -> None:
    for each in sentences.of(*sentences.PLACES):
        assert re.search("[a-z]{3}", each.what), each


def assert_read_by_inv(words: list[str], command: str) -> None:
    try:
        assert parsed(" ".join(words))
    except Exit as refused:
        pytest.fail(f"{command}: {refused.message}")


def assert_known_to_aws(words: list[str]) -> None:
    """Look an operation and its options up in AWS's own description; a few commands are the tool's own."""
    import botocore.session
    from botocore import xform_name

    if words[:2] in (
        ["sso", "login"],
        ["s3", "rm"],
        ["s3", "cp"],
        ["configure", "sso"],
        ["configure", "export-credentials"],
    ):
        return
    service, operation, *rest = words
    model = botocore.session.get_session().get_service_model("s3" if service == "s3api" else service)
    known = {xform_name(name, "-"): name for name in model.operation_names}
    members = {xform_name(name, "-") for name in model.operation_model(known[operation]).input_shape.members}
    options = {word.removeprefix("--") for word in rest if word.startswith("--")}
    assert options - members <= {"region", "profile"}


@cache
def subcommands(program: str) -> frozenset[str]:
    """Return what a program says that it can do."""
    words = {"git": ["--list-cmds=main,others,nohelpers"], "docker": ["--help"], "terraform": ["-help"]}[program]
    found = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    return frozenset(re.findall(r"^ *([a-z][\w-]+)", found.stdout + found.stderr, re.MULTILINE))


def test_no_sentence_presumes_the_name_of_the_compose_file() -> None:
    """A project's may have each of Compose's four names, and COMPOSE_FILE names others."""
    naming = set()
    for path in (ROOT / "stackhand").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in documentation]
        naming |= {(path.name, node.value) for node in texts if "docker-compose.yml" in str(node.value)}
    playbooks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "playbooks").glob("*.yml"))
    assert "docker-compose.yml" not in playbooks
    assert naming == {
        (name, "docker-compose.yml") for name in ("init.py", "model.py", "mutation.py", "composefiles.py")
    }
