"""supervisord, whose forked process becomes the service itself: no interpreter starts in between (50 ms a service).

It runs as a file, for `stackhand` is not wanted in it: `python supervisord.py -c supervisord.conf`.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

sys.path.pop(0)  # this folder, in which `supervisor` is another module
sys.modules["ssl"] = None  # type: ignore[assignment] # as if Python had none: its socket needs none, nor what it loads

from supervisor import supervisord  # noqa: E402
from supervisor.options import ServerOptions  # noqa: E402

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR2)
"""The signals that supervisord has handlers for, which its child would inherit until `exec`."""


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None  # noqa: S101 - a file beside this one
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


del sys.modules["ssl"]

launch = _load("launch")
enter = _load("enter") if os.getuid() == 0 else None  # who is not root has no account to give a service


class ForkedOptions(ServerOptions):  # type: ignore[misc] # supervisor has no types
    """supervisord's seam to the system."""

    def execve(self, filename: str, argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:  # noqa: ARG002
        """Do what `python -I -S launch.py services/NAME.json` would do, which is the configured command."""
        try:
            for number in HANDLED:
                signal.signal(number, signal.SIG_DFL)
            launch.main(argv[-1], enter)
        except SystemExit as error:
            os.write(2, f"{error}\n".encode())
        except BaseException:  # no code of supervisord's may run on in this process
            os.write(2, traceback.format_exc().encode())
        os._exit(1)


if __name__ == "__main__":
    supervisord.ServerOptions = ForkedOptions
    supervisord.main()
