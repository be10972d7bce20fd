"""Did a test leave anything behind? Processes, sockets, ports, temporary folders."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from stackhand.project.ownership import TEMPORARY
from stackhand.project.state import State
from tests.checkout import Checkout, docker, eventually


@contextlib.contextmanager
def lasting_checkout(engine: str) -> Iterator[Checkout]:
    """Give a copy of the checkout for many tests; what they started there must be gone after them."""
    place = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    place.chmod(0o755)
    found = Checkout.make(place / "shop", engine=engine)
    leaks = Leaks(found)
    try:
        yield found
    finally:
        found.inv("down", "--volumes", "--yes", check=False)
        leaks.check()
        found.remove_images()
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def lasting_stack(engine: str) -> Iterator[Checkout]:
    """Give such a copy whose stack is up.

    A fixture of a package belongs to the folder of its conftest, and does not follow when another folder means another
    engine; so each folder that shares a stack has a fixture of its own over this.
    """
    with lasting_checkout(engine) as found:
        found.inv("up")
        yield found


class Leaks:
    """Looks for what belongs to a checkout, or appeared in the temporary folder since this was made."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.before = _temporary()

    def check(self) -> None:
        """Fail when something is left."""
        left: list[str] = []

        def none() -> bool:
            left[:] = self.found()
            return not left

        with contextlib.suppress(AssertionError):  # what has been told to end may need a moment
            eventually(none, "nothing left", timeout=5)
        assert not left, left

    def found(self) -> list[str]:
        """Return what is left, in words."""
        left = [f"process {each.pid}: {' '.join(each.cmdline())}" for each in self._processes()]
        left += self._containers()
        sockets = State(self.checkout.path).sockets
        left += [f"folder of sockets {sockets}"] if sockets.exists() and sockets.parent == TEMPORARY else []
        left += [f"temporary folder {path}" for path in sorted(_temporary() - self.before)]
        left += [f"socket {path}" for path in self.checkout.path.rglob("*") if path.is_socket()]
        return left + [f"port {port}" for port in sorted(set(self.checkout.ports.values()) & _listened())]

    def _containers(self) -> list[str]:
        if self.checkout.engine != "compose":
            return []
        mine = f"label=com.docker.compose.project={self.checkout.name}"
        kinds = (("container", "--all"), ("network",), ("volume",))
        return [
            f"{kind} {each}"
            for kind, *flags in kinds
            for each in docker(kind, "ls", *flags, "--quiet", "--filter", mine).split()
        ]

    def _processes(self) -> list[psutil.Process]:
        place = str(self.checkout.path)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = [*process.cmdline(), process.cwd()]
                if process.status() != psutil.STATUS_ZOMBIE and any(place in word for word in words):
                    found.append(process)
        return found


def _temporary() -> set[Path]:
    return {path for path in Path(tempfile.gettempdir()).iterdir() if path.name.startswith(("stackhand-", "sh-"))}


def _listened() -> set[int]:
    found = psutil.net_connections("tcp")
    return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN and each.laddr}
