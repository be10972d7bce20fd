"""`.env` is read as Compose reads it; what its versions read differently is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackhand.project import dotenv


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=plain", "plain"),
        ("A=", ""),
        ("A = spaced ", "spaced"),
        ("export A=exported", "exported"),
        ("A=value # a comment", "value"),
        ("A='literal $HOME \\n # all'", "literal $HOME \\n # all"),
        ("A='it\\'s'", "it's"),
        ("A='two\nlines'", "two\nlines"),
        ('A="escaped \\"quotes\\", \\n and \\\\"', 'escaped "quotes", \n and \\'),
        ('A="a $$ or a \\$"', "a $ or a $"),
        ("A='quoted' # a comment", "quoted"),
        ("A=first\nA=last", "last"),
        ("\ufeffA=behind a byte order mark", "behind a byte order mark"),
        ("A=windows\r\n", "windows"),
    ],
)
def test_a_value_is_read_as_compose_reads_it(text: str, value: str) -> None:
    assert dotenv.parse(text) == ({"A": value}, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=a#b", "has a # inside a word"),
        ("A=a$b", "has a $, which Compose would expand"),
        ('A="a $b"', "has a $ in double quotes"),
        ("A='open", "has an opening ' without a closing one"),
        ("A='closed'tail", "has text after the closing '"),
        ("no assignment", "is not a line of the form KEY=value"),
        ("1A=x", "is not a line of the form KEY=value"),
    ],
)
def test_what_compose_versions_read_differently_is_refused(text: str, message: str) -> None:
    values, problems = dotenv.parse(text)
    assert values == {}
    assert problems[0].message.startswith(message)


def test_a_bad_line_costs_only_itself_and_is_told_with_its_number() -> None:
    values, problems = dotenv.parse("A=1\n\n# a comment\nB=x$y\nC=3\n")
    assert values == {"A": "1", "C": "3"}
    assert [(problem.line, problem.key) for problem in problems] == [(4, "B")]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_every_value_comes_back_as_it_was_quoted(value: str) -> None:
    assert dotenv.parse(f"A={dotenv.quote(value)}\nB=next\n") == ({"A": value, "B": "next"}, [])


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    dotenv.parse(text)


def test_replacing_a_value_leaves_everything_else_as_it_is() -> None:
    text = "# ports\nWEB_PORT=3000 # the page\nOTHER='x'\n"
    assert dotenv.replace(text, {"WEB_PORT": "3010"}) == "# ports\nWEB_PORT=3010\nOTHER='x'\n"
