"""What `./inv support` takes for a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackhand import support


def test_short_given_secrets_and_passwords_in_urls_are_masked_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "ROOT", tmp_path)
    monkeypatch.setattr(support, "EXAMPLE", tmp_path / ".env.example")
    (tmp_path / ".env.example").write_text(
        "# type: secret given\nPIN=\n\n# type: secret given url\nMAIL_URL=\n\n"
        "# type: url\nSHOP_URL=\n\n# type: text\nA=\n"
    )
    (tmp_path / ".env").write_text(
        "PIN=4711\nMAIL_URL=smtp://ann:a%2Fword@mail.example.org\nSHOP_URL=https://ann:other@example.org\nA=plain\n"
    )
    log = "pin 4711, password a/word, url smtp://ann:a%2Fword@mail.example.org, shop other, plain"
    masked = support._masked(log, support._secrets())
    assert masked == "pin ********, password ********, url ********, shop ********, plain"
    assert support._settings() == "PIN=********\nMAIL_URL=********\nSHOP_URL=********\nA=plain\n"
