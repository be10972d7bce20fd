"""What a value of each type must be, and how a type is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stackhand.cli.failure import Failure
from stackhand.project import schema, values
from tests.checkout import ROOT

URL = "a URL such as"
LOGIN = "a URL without a login"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("text", "", ""),
        ("text", "Ann's shop: 5 € #1", ""),
        ("text required", "", "some text"),
        ("url", "", ""),
        ("url required", "", URL),
        ("url", "https://example.org/a?b=c@d", ""),
        ("url", "http://[::1]:8080", ""),
        ("url", "example.org", URL),
        ("url", "//example.org/a", URL),
        ("url", "https://", URL),
        ("url", "https://example.org:http", URL),
        ("url", "https://[::1", URL),
        ("url", "https://exam ple.org", URL),
        ("url", "https://example.org\n", URL),
        ("url smtp smtps", "smtps://mail.example.org:465", ""),
        ("url smtp smtps", "https://mail.example.org", "a URL such as smtp://example.org or smtps://example.org"),
        ("url", "https://ann:hunter2@example.org", LOGIN),
        ("url", "https://token@example.org", LOGIN),
        ("number", "", ""),
        ("number", "-2.5", ""),
        ("number", "1e5", "a number"),
        ("number", "٣", "a number"),
        ("number required", "", "a number"),
        ("number 0 1", "0.5", ""),
        ("number 0 1", "1.5", "a number, 0 to 1"),
        ("number -1 1 required", "", "a number, -1 to 1"),
        ("integer 1 100", "100", ""),
        ("integer 1 100", "101", "a whole number, 1 to 100"),
        ("integer", "2.0", "a whole number"),
        ("integer 1 2", "9" * 400, "a whole number, 1 to 2"),
        ("boolean", "", ""),
        ("boolean", "true", ""),
        ("boolean", "yes", "true or false"),
        ("email", "ann@example.org", ""),
        ("email", "ann@localhost", "an e-mail address"),
        ("email required", "", "an e-mail address"),
        ("secret generated", "short", "a secret of 8 characters or more"),
        ("secret generated", "", "a secret of 8 characters or more"),
        ("secret given", "", ""),
        ("secret given", "pin", ""),
        ("secret given required", "", "set, because only you know it"),
        ("secret given login", "tab\tbed", "a secret valid for PostgreSQL's login"),
        ("secret given url", "smtp://ann:hunter2@mail.example.org", ""),
        ("secret given url smtp required", "smtp://ann:hunter2@mail.example.org", ""),
        ("secret given url smtp", "https://ann:hunter2@mail.example.org", "a secret that is a URL such as smtp://"),
    ],
)
def test_value_is_validated_by_its_type(kind: str, value: str, expected: str) -> None:
    name, *words = kind.split()
    found = values.CHECKS[name](value, tuple(words))
    assert found.startswith(expected)
    assert bool(found) == bool(expected)
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "kind",
    [
        *("port 1", "seconds", "seconds 1", "number 1", "number 1 2 needed", "name rol", "size small", "boolean no"),
        *("url HTTPS", "secret generated url", "secret generated given", "secret given genrated", "choice"),
        "text long",
    ],
)
def test_a_type_that_is_written_otherwise_is_refused(tmp_path: Path, kind: str) -> None:
    example = tmp_path / ".env.example"
    example.write_text(f"# Something.\n# type: {kind}\nKEY=\n")
    with pytest.raises(Failure, match=re.escape(f".env.example: KEY has the type '{kind}'")) as caught:
        schema.read(example)
    assert caught.value.evidence[0].startswith(f"# type: {kind.split(maxsplit=1)[0]}")


def test_a_secret_that_does_not_say_of_which_kind_is_refused_with_both(tmp_path: Path) -> None:
    example = tmp_path / ".env.example"
    for words in ("", " login"):
        example.write_text(f"# type: secret{words}\nSTRIPE_KEY=\n")
        with pytest.raises(Failure, match="STRIPE_KEY is a secret without a kind: generated or given") as caught:
            schema.read(example)
        assert [line.split("  ")[0] for line in caught.value.evidence] == [
            "# type: secret generated",
            "# type: secret given",
        ]


def test_every_type_is_documented_as_it_is_written() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## .env.example")[2].partition("\n## ")[0].replace("\\|", "|")
    usages = [values.WORDS[kind][1] if kind in values.WORDS else kind for kind in values.CHECKS if kind != "secret"]
    assert [usage for usage in [*usages, *values.WORDS["secret"][1].split(", or ")] if f"`{usage}`" not in table] == []
