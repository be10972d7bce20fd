"""A terminal, for what `./inv` does otherwise where a person types."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios

from tests.checkout import Checkout, clean_environment


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
