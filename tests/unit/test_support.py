"""What `./inv support` says of the settings and of its own redaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackhand.local import support
from stackhand.project.state import State
from stackhand.redaction import Redactor


def test_settings_are_shown_by_their_type_and_given_secrets_redacted_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "PROJECT", tmp_path)
    monkeypatch.setattr(support, "EXAMPLE", tmp_path / ".env.example")
    (tmp_path / ".env.example").write_text(
        "# type: secret given\nPIN=\n\n# type: secret given url\nMAIL_URL=\n\n"
        "# type: url\nSHOP_URL=\n\n# type: text\nA=\n"
    )
    (tmp_path / ".env").write_text(
        "PIN=4711\nMAIL_URL=smtp://ann:a%2Fword@mail.example.org\nSHOP_URL=https://ann:other1@example.org\nA=plain\n"
    )
    redactor = Redactor.of(tmp_path, doubtful=True)
    log = "PIN: 4711, password a/word, url smtp://ann:a%2Fword@mail.example.org, shop other1, plain"
    shown = (
        "PIN: <PIN redacted>, password <MAIL_URL redacted>, url <MAIL_URL redacted>, shop <SHOP_URL redacted>, plain"
    )
    assert redactor.text(log) == shown
    assert redactor.weak == ["PIN"]
    assert support._settings() == (
        "PIN=<PIN redacted>\nMAIL_URL=<MAIL_URL redacted>\nSHOP_URL=<SHOP_URL redacted>\nA=plain\n"
    )


def test_a_long_part_is_cut_at_the_begin_of_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "LARGEST_PART", 12)
    assert support._end("secret-1234\nlast line\n") == "last line\n"
    assert support._end("a line without an end") == "(a line of 21 characters is skipped)\n"


def test_a_memory_that_somebody_broke_is_one_of_the_parts(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.make()
    state.file.write_text("{broken")
    parts = dict(support._parts(state, Redactor.of(tmp_path, doubtful=True)))
    assert parts["state.json"]() == "{broken"
