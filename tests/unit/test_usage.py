"""Every documented command line can be read, and `-e` means the environment everywhere."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from invoke.exceptions import Exit
from invoke.parser.context import ParserContext

from stackhand.project.stack import loading
from stackhand.tasks import commandline
from stackhand.tasks.program import Inv, NoConfig
from tests.checkout import ROOT

DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLE = re.compile(r"\./inv ((?:(?!\./inv)[^`\n#|>,;)])+)")


def program() -> Inv:
    found = Inv(name="inv", config_class=NoConfig)
    found.create_config()
    found.parse_core(["inv"])
    found.parse_collection()
    return found


def parsed(typed: str) -> list[ParserContext]:
    found = program()
    found.core.unparsed = found.names_as_flags(shlex.split(typed))
    found.parse_tasks()
    return list(found.tasks)


def examples() -> list[str]:
    """Return what the documents have behind `./inv`, in commands."""
    found = set()
    for path in DOCUMENTS:
        for block in re.findall(
            r"```(?:console|sh)\n(.*?)```|`(\./inv [^`]+)`", path.read_text(encoding="utf-8"), re.DOTALL
        ):
            found |= {each.strip() for text in block for each in EXAMPLE.findall(text)}
    return sorted(
        each
        for each in found
        if not each.startswith("--")
        and each.split()[0].islower()
        and not each.startswith("help")
        and each.count('"') != 1
    )


@pytest.mark.parametrize(
    "typed", [*examples(), "logs -l 5 api", "cloud.logs -e staging", "cloud.logs -e staging -l 5 api"]
)
def test_a_documented_command_line_can_be_read(typed: str) -> None:
    """Where only a verb or a flag is mentioned, what it needs beside may be missing."""
    try:
        assert parsed(typed)
    except Exit as refused:
        assert re.search(r"needs an? (environment|service|job|name|incident|part)", str(refused.message))  # noqa: PT017


def test_the_values_of_short_flags_are_no_services() -> None:
    (logs,) = parsed("cloud.logs -e staging -l 5 api web")
    assert logs.args["environment"].value == "staging"
    assert logs.args["lines"].value == 5
    assert logs.args["service"].value == ["api", "web"]


def test_e_means_the_environment_in_every_verb() -> None:
    found = {
        context.name: context.flags["-e"].name
        for context in program().collection.to_contexts()
        if "-e" in context.flags
    }
    assert set(found.values()) == {"environment"}
    assert {"plan", "deploy", "cloud.logs"} <= set(found)
    assert "up" not in found


def run(typed: str) -> None:
    """Do all that comes before the verb itself."""
    found = Inv(name="inv", config_class=NoConfig)
    found.create_config()
    found.parse_core(["inv", *shlex.split(typed)])
    found.parse_collection()
    found.parse_tasks()
    found.parse_cleanup()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with Compose files in a folder of it, which is the working directory."""
    service = "services: {{{}: {{image: 'x:${{TAG:-none}}', profiles: [{}]}}}}"
    for name, text in {
        "compose.yaml": "services: {nobody: {image: x}}",
        "compose.stackhand.yaml": "services: {one: {x-embedded: {command: run}}}",
        ".env": "TAG=env\nOF_PROJECT=yes\n",
        "deploy/a.yaml": service.format("one", "on"),
        "deploy/b.yaml": "services: {two: {image: 'y:${OF_PROJECT:-no}'}}",
        "deploy/x.env": "TAG=other\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(commandline, "PROJECT", tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(tmp_path / "deploy")
    return tmp_path


def test_files_profiles_and_variables_are_named_as_for_compose_and_the_overlay_stays(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("-f a.yaml -f b.yaml --profile on up")
    assert "for this run: Compose files: deploy/a.yaml, deploy/b.yaml, compose.stackhand.yaml; profiles: on" in (
        capsys.readouterr().err
    )
    stack = loading.load(files, {"TAG": "env", "OF_PROJECT": "yes"})
    assert {name: each.image for name, each in stack.services.items()} == {"one": "x:env", "two": "y:yes"}
    assert stack.services["one"].embedded
    run("--env-file x.env --profile on logs --file a.yaml one")
    assert {name: each.image for name, each in loading.load(files, {}).services.items()} == {"one": "x:other"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("-f no.yaml up", "inv: no.yaml of -f does not exist, seen from "),
        ("--env-file . up", "inv: . of --env-file is not a file, seen from "),
        ("-f - up", "inv: -f - is not possible: later verbs could not read it again"),
        ("up -f a.yaml", "inv: A Compose file is named before the verb.\nnext: ./inv -f a.yaml up"),
    ],
)
@pytest.mark.usefixtures("files")
def test_a_file_that_is_not_there_or_named_too_late_is_wrong_usage(typed: str, said: str) -> None:
    with pytest.raises(Exit) as refused:
        run(typed)
    assert refused.value.code == 2
    assert str(refused.value.message).startswith(said)
