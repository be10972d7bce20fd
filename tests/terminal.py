"""A terminal, for what `./inv` does otherwise where a person types."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.checkout import Checkout, Said, clean_environment

WITHIN = 60.0
INTERRUPT = "\x03"
"""What a terminal gets when somebody presses Ctrl-C."""
AGAIN, TIMES = 5.0, 4
"""After how many seconds of nothing it is pressed again, and how often. Faster than any person, it may come between
Python's last look at signals and its read (once in a thousand times), and is found with the next key only."""


def on_terminal(checkout: Checkout, *words: str, columns: int = 80, **env: str) -> str:
    """Run ./inv on a terminal of that width and return all that it wrote there."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {"TERM": "xterm-256color", **clean_environment(**env)}
    child = subprocess.Popen(
        ["./inv", *words], cwd=checkout.path, env=environment, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux says EIO when the last writer has gone
            break
        if not part:
            break
        written += part
    os.close(leader)
    child.wait()
    return written.decode()


def conversation(
    words: Sequence[str], replies: Sequence[tuple[str, str]], folder: Path, environment: Mapping[str, str]
) -> Said:
    """Run a command on a terminal of its own, and answer what it asks; all that is shown there is `out`.

    Args:
        words: of the command.
        replies: the end of each question, in their order, and what is typed then.
        folder: where it runs.
        environment: of the command.
    """
    leader, follower = pty.openpty()
    opened = ["sh", "-c", 'exec "$@" <"$0"', os.ttyname(follower), *words]  # which makes it that session's terminal
    child = subprocess.Popen(
        opened, cwd=folder, env=environment, stdout=follower, stderr=follower, start_new_session=True
    )
    os.close(follower)
    shown, answered, pressed = "", 0, 0
    waiting = list(replies)
    while True:
        if not select.select([leader], [], [], AGAIN if pressed else WITHIN)[0]:
            if 0 < pressed < TIMES:
                pressed += bool(os.write(leader, INTERRUPT.encode()))
                continue
            child.kill()
            child.wait()
            raise AssertionError(f"nothing more was shown: {shown}")
        try:
            shown += os.read(leader, 65536).decode()
        except OSError:  # as in on_terminal
            break
        if waiting and waiting[0][0] in shown[answered:]:
            answered = len(shown)
            _, typed = waiting.pop(0)
            os.write(leader, typed.encode() if typed == INTERRUPT else f"{typed}\n".encode())
            pressed += typed == INTERRUPT
    os.close(leader)
    return Said(child.wait(), shown.replace("\r\n", "\n"), "")
