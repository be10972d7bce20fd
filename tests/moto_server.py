"""moto as a process: what other tests do with moto in theirs, such as a reset, does not reach it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator

from stackhand.system import ports
from tests.checkout import ROOT, eventually


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Give the address of a moto server."""
    port = next(port for port in range(18_000 + os.getpid() % 1000, 20_000) if ports.is_free(port))
    words = [str(ROOT / ".venv" / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryFile() as log, subprocess.Popen(words, stdout=log, stderr=log) as server:
        try:
            eventually(lambda: not ports.is_free(port), "moto listens")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
