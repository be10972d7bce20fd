"""What all tests share: copies of the checkout to break, and a look for what they left behind."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import chromium, installed
from tests.checkout import Checkout
from tests.leaks import Leaks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what a test of random bytes is given."""
    parser.addoption("--fuzz-seconds", type=float, default=0.0, help="fuzz for so long, at random; else shortly")


def pytest_configure(config: pytest.Config) -> None:
    """Give each run, and each worker, a temporary folder of its own, for what one leaves is not another's."""
    gc.set_threshold(10_000, 20, 50)  # a sixth of the time of tests in this process was looking for garbage
    # How long an example takes says how busy the machine is.
    hypothesis.settings.register_profile(
        "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("unhurried")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would start all deaf to it
    before = tempfile.gettempdir()
    place = tempfile.mkdtemp(prefix="sh-")  # short, for a socket's path has room for a hundred letters
    Path(place).chmod(0o755)
    os.environ["TMPDIR"] = tempfile.tempdir = place

    def clean() -> None:
        """Leave everything as it was: another run may come in this process (`./inv check --mutation`)."""
        os.environ["TMPDIR"] = tempfile.tempdir = before
        shutil.rmtree(place, ignore_errors=True)

    config.add_cleanup(clean)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep tests that share a fixture on one worker, and start what takes long first."""
    for item in items if config.pluginmanager.hasplugin("xdist") else ():
        if not item.get_closest_marker("xdist_group") and (group := _shared_by(item)):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_turn)


def pytest_collection_finish() -> None:
    """Look for garbage only among what the tests make: all that was imported and collected stays, and is large."""
    gc.collect()
    gc.freeze()


def _shared_by(item: pytest.Item) -> str:
    """Return the name of the fixture of a package or a module that a test shares with others, wherever it is made."""
    found = {
        (fixtures[-1].scope, name): fixtures[-1].baseid
        for name, fixtures in item._fixtureinfo.name2fixturedefs.items()  # type: ignore[attr-defined]
        if name != "engine"  # which is a word
    }
    for scope in ("package", "module"):
        for name in sorted(name for each, name in found if each == scope):
            engine = item.callspec.params.get("engine", "") if hasattr(item, "callspec") else ""
            return f"{found[scope, name]}-{name}-{engine}".replace("/", "-").removeprefix("tests-")
    return ""


def _turn(item: pytest.Item) -> tuple[object, ...]:
    """Sort by this: what may take minutes first, then stacks; the engine is stopped while the others need none."""
    limit = item.get_closest_marker("timeout")
    slow, on_engine, alone = (item.get_closest_marker(name) is not None for name in ("slow", "compose", "alone"))
    return (
        not (slow or on_engine or limit),
        alone,
        -(limit.args[0] if limit else 0),
        not item.get_closest_marker("xdist_group"),
        not on_engine,
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be skipped: there everything is installed that a test needs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that every account may pass through, unlike tmp_path's."""
    path = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def engine() -> str:
    """The engine that a test's stack runs on; tests of both engines have a fixture of their own in its place."""
    return "embedded"


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel of this checkout."""
    return installed.wheel()


@pytest.fixture
def checkout(folder: Path, engine: str) -> Iterator[Checkout]:
    """A copy of the checkout on a free block of ports; what a test started there must be gone after it."""
    found = Checkout.make(folder / "shop", engine=engine)
    leaks = Leaks(found)
    yield found
    if (found.state / "run").exists() or any((found.state / "data").glob("*")) or leaks.found():
        found.inv("down", "--volumes", "--yes", check=False)
    leaks.check()
    found.remove_images()


@pytest.fixture
def running(stack: Checkout) -> Checkout:
    """The folder's running stack, for tests after which it may be stopped or broken as long as `up` fixes it."""
    stack.inv("up")
    return stack


@pytest.fixture
def stopped(stack: Checkout) -> Checkout:
    """The folder's stack, stopped, for tests that change its data or start it themselves; as `running`."""
    stack.inv("down")
    return stack


@pytest.fixture(scope="session")
def base_url() -> None:
    """In place of pytest-base-url's, which pytest warns of: each stack has an address of its own."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's Chromium, for pytest-playwright."""
    if chromium.path() is None:
        pytest.skip("no chromium on PATH, and CHROMIUM names none")
    return {**browser_type_launch_args, **chromium.launch_options()}
