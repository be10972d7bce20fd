"""`${VARIABLE}` means what it means to Compose."""

from __future__ import annotations

import pytest

from stackhand.project.interpolation import InterpolationError, fill

VARIABLES = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$SET ${SET}", "value value"),
        ("$$SET", "$SET"),
        ("[$UNSET][${UNSET}]", "[][]"),
        ("${UNSET-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${EMPTY:-default}", "default"),
        ("${SET:-default}", "value"),
        ("${UNSET:-${SET}}", "value"),
        ("${UNSET:-a}b}", "ab}"),
        ("${SET:+yes}${EMPTY:+no}", "yes"),
        ("${EMPTY+yes}", "yes"),
        ("${SET:?needed}", "value"),
        ("${EMPTY?needed}", ""),
    ],
)
def test_a_variable_is_filled_in_as_compose_does(text: str, filled: str) -> None:
    assert fill(text, VARIABLES) == filled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${UNSET:?run this first}", "UNSET is not set: run this first"),
        ("${EMPTY:?}", "EMPTY is not set: a value is required"),
        ("5 $ each", "without a variable name"),
        ("${SET", "without }"),
        ("${SET!}", "is not a variable"),
    ],
)
def test_invalid_interpolation_is_reported(text: str, message: str) -> None:
    with pytest.raises(InterpolationError, match=message.replace("$", r"\$").replace("}", r"\}")):
        fill(text, VARIABLES)
