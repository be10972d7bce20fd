"""Every documented command line can be read, and `-e` means the environment everywhere."""

from __future__ import annotations

import re
import shlex

import pytest
from invoke.exceptions import Exit
from invoke.parser.context import ParserContext

from stackhand.tasks.program import Inv, OurConfig
from tests.checkout import ROOT

DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLE = re.compile(r"\./inv ((?:(?!\./inv)[^`\n#|>,;)])+)")


def program() -> Inv:
    found = Inv(name="inv", config_class=OurConfig)
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
