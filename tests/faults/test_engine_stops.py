"""The container engine ends in the middle of a start, and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.checkout import ROOT, Checkout, eventually
from tests.engines import COMPOSE, use

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(600), pytest.mark.xdist_group("engine-stops")]
PID_FILE = Path("/run/stackhand-dockerd.pid")


@pytest.fixture(scope="module", params=[COMPOSE])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine of containers, for this module alone."""
    with use(request.param, alone=True) as found:
        yield found


@pytest.mark.parametrize("service", ["postgres", "api"])
def test_an_engine_stopped_in_the_middle_of_up_is_told_and_up_goes_on_later(checkout: Checkout, service: str) -> None:
    if not PID_FILE.exists():
        pytest.skip("the container engine of this machine was not started by tests/engine/start, and is left alone")
    child = checkout.start("up")
    eventually(lambda: checkout.has_started(service), f"{service} is started")
    with stopped_engine():
        _, err = child.communicate(timeout=60)
        assert child.returncode == 3
        assert "The container engine stopped answering during the start." in err
        assert "next: start it again, then ./inv up" in err
        said = checkout.inv("status", check=False)
        assert said.code == 3
        assert "The container engine is not running" in said.err
        assert checkout.inv("down", check=False).code == 3
    checkout.inv("up")
    assert checkout.ask("/health/ready")[0] == 200


@contextmanager
def stopped_engine() -> Iterator[None]:
    """Kill the daemon that tests/engine/start started, and start it again afterwards."""
    pid = int(PID_FILE.read_text())
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), "dockerd has ended", timeout=60)
    try:
        yield
    finally:
        subprocess.run(["sh", str(ROOT / "tests" / "engine" / "start")], check=True, timeout=60)


def _is_zombie(pid: int) -> bool:
    time.sleep(0)
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
