"""On a real terminal, of any kind."""

from __future__ import annotations

import os
import pty
import re
import subprocess

import pytest

from tests.checkout import Checkout, clean_environment
from tests.terminal import on_terminal

pytestmark = pytest.mark.slow


def test_a_terminal_gets_colour_and_motion(stack: Checkout) -> None:
    written = on_terminal(stack, "restart", "web")
    assert "\x1b[32m" in written
    assert "\x1b[?25l" in written


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_a_terminal_without_colour_gets_letters_only(stack: Checkout, env: dict[str, str]) -> None:
    for words in (("restart", "web"), ("status",), ("doctor",), ("logs", "--lines", "3")):
        assert "\x1b" not in on_terminal(stack, *words, **env)


def test_a_locale_of_ascii_gets_ascii(stack: Checkout) -> None:
    for words in (("restart", "web"), ("doctor",)):
        assert on_terminal(stack, *words, LANG="C", LC_ALL="").isascii()


def test_nothing_is_wider_than_a_narrow_terminal(stack: Checkout) -> None:
    for words in (("status",), ("doctor",)):
        for line in on_terminal(stack, *words, columns=60, NO_COLOR="1").splitlines():
            assert len(line) <= 60, line


def test_losing_data_asks_for_the_name_on_a_terminal(stack: Checkout) -> None:
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        ["./inv", "db.reset"], cwd=stack.path, env=clean_environment(), stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    asked = b""
    while b"Type stackhand to confirm:" not in asked:
        asked += os.read(leader, 4096)
    os.write(leader, b"something else\n")
    assert child.wait(timeout=30) == 1
    answered = os.read(leader, 65536).decode()
    os.close(leader)
    assert re.search(r"Cancelled: the name was not typed, and nothing was done", answered)
