"""The engines that tests run on, for fixtures: Docker's only where one answers."""

from __future__ import annotations

import fcntl
import functools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stackhand.cli.failure import Failure
from stackhand.containers import docker
from tests.checkout import ROOT

COMPOSE = pytest.param("compose", marks=pytest.mark.compose)
BOTH = ["embedded", COMPOSE]
ON_ONE = pytest.mark.parametrize("engine", ["embedded"], indirect=True, scope="package")
"""For a test of what no engine has a part in."""
LOCK = ROOT / ".venv" / "tests-container-engine.lock"


@functools.cache
def missing() -> str:
    """Return why there is no container engine; nothing when there is one."""
    try:
        docker.reach()
    except Failure as failure:
        return failure.what
    return ""


@contextmanager
def use(engine: str, *, alone: bool = False) -> Iterator[str]:
    """Give the engine; skip the test, with the reason, where it is not to be had.

    Args:
        engine: its name.
        alone: no other test may be at the container engine meanwhile, for this one stops it.
    """
    if engine != "compose":
        yield engine
        return
    if missing():
        pytest.skip(f"no container engine: {missing()}")
    with LOCK.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield engine
