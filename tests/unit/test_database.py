"""The database that takes another one's place."""

from __future__ import annotations

import pytest

from stackhand.database import LONGEST_NAME, draft_of


@pytest.mark.parametrize("name", ["shop", "x" * 59, "x" * 63, "x" * 59 + "_new", "ü" * 31, "x" + "ü" * 31])
def test_a_draft_has_a_name_that_postgresql_neither_cuts_nor_takes_for_the_other(name: str) -> None:
    draft = draft_of(name)
    assert len(draft.encode()) <= LONGEST_NAME
    assert draft.encode()[:LONGEST_NAME] != name.encode()[:LONGEST_NAME]
