"""Packages that a verb installs when it needs them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from stackhand.cli import packages
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.packages import Packages

SOME = Packages("some", "the packages of a test")


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without them, and their lock."""
    (tmp_path / "requirements-some.lock").write_text("one==1\n", encoding="utf-8")
    monkeypatch.setattr(packages, "CONTENT", tmp_path)
    monkeypatch.setattr(packages, "STAMPS", tmp_path / ".stackhand")
    command = ["sh", "-c", f"echo installed >>{tmp_path}/log; sleep 0.3"]
    monkeypatch.setattr(Packages, "_commands", lambda _self: [command])
    return tmp_path


def test_two_that_need_them_at_once_install_them_once(prefix: Path) -> None:
    both = [threading.Thread(target=SOME.ensure) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert (prefix / "log").read_text(encoding="utf-8") == "installed\n"
    assert SOME.current()


def test_an_environment_that_cannot_be_written_is_told(prefix: Path) -> None:
    (prefix / ".stackhand").touch()
    with pytest.raises(Failure, match=r"^The packages of a test cannot be installed: .* cannot be written") as caught:
        SOME.ensure()
    assert caught.value.code == ExitCode.PREFLIGHT
