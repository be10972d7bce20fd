"""`.env` is read by Compose, and written so that Compose reads back what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackhand.cli.failure import Failure
from stackhand.project import dotenv
from stackhand.project.compose import envfile, resolver

TEXT = r"""# a comment
A=plain
EMPTY=
SPACED = two words 
export EXPORTED=exported
COMMENTED=value # a comment
WORD=a#b
SINGLE='literal $HOME \n # all'
APOSTROPHE='it\'s'
LINES='two
lines'
ESCAPED="\"quotes\", \t, \101 and \\"
EXPANDED="${A}/$A" # behind it
DEFAULT=${NOBODY:-default}
DOLLAR="\$A"
COLON: 1
WITH.DOT=2
A=last
BARE_NAME
WINDOWS=windows"""  # noqa: W291


def test_values_are_those_that_compose_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BARE_NAME", "of the shell")
    values, problems = envfile.read("\ufeff" + TEXT + "\r\n")
    assert problems == []
    assert values == {
        "A": "last",
        "EMPTY": "",
        "SPACED": "two words",
        "EXPORTED": "exported",
        "COMMENTED": "value",
        "WORD": "a#b",
        "SINGLE": "literal $HOME \\n # all",
        "APOSTROPHE": "it's",
        "LINES": "two\nlines",
        "ESCAPED": '"quotes", \t, \\101 and \\',
        "EXPANDED": "plain/plain",
        "DEFAULT": "default",
        "DOLLAR": "$A",
        "COLON": "1",
        "WITH.DOT": "2",
        "BARE_NAME": "of the shell",
        "WINDOWS": "windows",
    }


PLAIN = st.tuples(
    st.sampled_from(["", " ", "export ", "# "]),
    st.sampled_from(["A", "B_1", "_c"]),
    st.text("azAZ09_./:@%+,=-", max_size=5) | st.text('a $#"é={}`;', max_size=5).map("'{}'".format),
    st.sampled_from(["\n", " \n", "\r\n", "\n\n"]),
)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(st.lists(PLAIN, min_size=20, max_size=40))
def test_a_file_without_anything_special_is_read_without_compose_and_alike(
    lines: list[tuple[str, str, str, str]],
) -> None:
    text = "".join(f"{start}{key}={value}{end}" for start, key, value, end in lines)
    found, message = envfile._asked(text, Path("/nowhere"))
    assert (dotenv.plain(text), message) == (found, "")


@settings(max_examples=3, deadline=None, derandomize=True)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=30, max_size=60))
def test_every_value_comes_back_as_it_was_quoted(values: list[str]) -> None:
    expected = {f"K{number}": value for number, value in enumerate(values)}
    text = "".join(f"{key}={dotenv.quote(value)}\n" for key, value in expected.items())
    assert envfile.read(text) == (expected, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=a$b", (1, "A", "has a $, which Compose expands, and nothing sets b; write it in single quotes")),
        ('\nA="a $b"', (2, "A", "has a $, which Compose expands, and nothing sets b; ")),
        ("B=1\nA='open", (2, "A", "has an opening ' without a closing one")),
        ("A=1\nA='closed'tail", (2, "", "has text that belongs to no setting")),
        ("A=1\nno assignment=1\n", (2, "no assignment", "is not a line of the form KEY=value")),
        ("A=1\nB=${C:?secret words}\n", (2, "B", "requires the variable C, which nothing sets")),
    ],
)
def test_what_compose_rejects_or_loses_is_told_by_line_without_the_value(
    text: str, problem: tuple[int, str, str]
) -> None:
    _, (found,) = envfile.read(text)
    assert (found.line, found.key) == problem[:2]
    assert found.message.startswith(problem[2])


def test_without_compose_the_values_are_those_that_a_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_root: Path) -> resolver.Resolver:
        raise Failure("There is no Compose.")

    monkeypatch.setattr(resolver, "choose", none)
    values, problems = envfile.read("A=1\nB=x$y # z\nstray\nC='1\n2'\n")
    assert values == {"A": "1", "B": "x$y", "C": "1\n2"}
    assert [(each.line, each.key) for each in problems] == [(3, "stray")]


@given(st.text())
def test_no_text_breaks_the_search(text: str) -> None:
    dotenv.search(text)


def test_replacing_a_value_leaves_everything_else_as_it_is() -> None:
    text = "# PORT=1\nPORT=3000 # the page\nKEY='one\nPORT=inside\ntwo'\nexport PORT = \"3000\nmore\"\nOTHER='x'\n"
    assert dotenv.replace(text, {"PORT": "3010", "KEY": "it's"}) == (
        "# PORT=1\nPORT=3010\nKEY=\"it's\"\nexport PORT = 3010\nOTHER='x'\n"
    )
