"""How many changes of the code the tests notice: `./inv check --mutation` (docs/decisions/011-mutation.md)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stackhand.cli.failure import Failure
from stackhand.system.roots import CONTENT

WANTED = 85.0
"""Percent of the changes of each module that the tests have to notice."""
MODULES = (
    "service/health/state.py",
    "service/health/component.py",
    "service/health/report.py",
    "service/migration/files.py",
    "service/migration/lexer.py",
    "service/cache.py",
    "service/redis_errors.py",
    "service/breaker.py",
    "service/answer.py",
    "stackhand/release/verdict.py",
    "stackhand/release/lease.py",
    "stackhand/project/stack/model.py",
    "stackhand/project/stack/loading.py",
)
TESTS = (
    "tests/service/test_state.py",
    "tests/service/test_component.py",
    "tests/service/test_component_results.py",
    "tests/service/test_report.py",
    "tests/service/test_migration_files.py",
    "tests/service/test_migration_lexer.py",
    "tests/service/test_breaker.py",
    "tests/service/test_answer.py",
    "tests/service/cache",
    "tests/cloud/test_verdict.py",
    "tests/unit/test_lease.py",
    "tests/unit/test_model.py",
    "tests/unit/test_loading.py",
)
"""What is changed, and the tests that have to notice: quick ones, for each change runs those that reach it."""
QUIET = tuple(f"-pno:{name}" for name in ("cacheprovider", "xdist", "unraisableexception", "threadexception"))
"""Parts of pytest that a change's run goes without: with the last two it may fail after all its tests have passed."""
SOURCES = ("service", "stackhand")
COPIED = (*SOURCES, "tests")
FILES = ("docker-compose.yml", ".env.example")
FOLDER = CONTENT / ".stackhand" / "mutation"
NOTICED = frozenset({"killed", "timeout"})
UNFINISHED = frozenset({"not checked", "check was interrupted by user"})


@dataclass(frozen=True)
class Score:
    """What became of the changes of one module.

    Args:
        module: its path.
        noticed: changes with which a test failed.
        changes: all of them.
        missed: mutmut's names for those that no test noticed.
    """

    module: str
    noticed: int
    changes: int
    missed: tuple[str, ...]

    @property
    def percent(self) -> float:
        """How many of a hundred changes were noticed."""
        return 100 * self.noticed / self.changes if self.changes else 0.0

    def __str__(self) -> str:
        return f"{self.module}: {self.percent:.1f} %, {self.noticed} of {self.changes} changes noticed"


def run() -> list[Score]:
    """Change the modules in a copy of the checkout, one change at a time, and return what the tests noticed.

    It takes minutes. The copy stays: `python -m mutmut show NAME` there shows a change.

    Raises:
        Failure: the tests fail without any change, or it was not finished.
    """
    _copy(FOLDER)
    workers = str(2 * (os.cpu_count() or 1))  # some tests wait for a timeout most of their time
    result = _mutmut("run", "--max-children", workers)
    results = scores(_mutmut("results", "--all", "true").stdout)
    if result.returncode != 0 or not results:
        lines = (result.stdout + result.stderr).replace("\r", "\n").splitlines()
        raise Failure("The mutation test could not run.", evidence=lines[-20:])
    return results


def scores(results: str) -> list[Score]:
    """Return the score of each module from what `mutmut results --all true` says; none when it has not finished."""
    status = dict(line.strip().rsplit(": ", 1) for line in results.splitlines() if "__mutmut_" in line)
    if UNFINISHED & set(status.values()):
        return []
    return [_score(module, status) for module in MODULES]


def too_low(results: Iterable[Score]) -> list[str]:
    """Return the modules of which the tests do not notice enough; one without any change is among them."""
    return [score.module for score in results if score.percent < WANTED]


def _score(module: str, status: Mapping[str, str]) -> Score:
    start = module.removesuffix(".py").replace("/", ".")
    ours = {name: word for name, word in status.items() if name.rpartition(".")[0] == start and word != "skipped"}
    count = Counter(word in NOTICED for word in ours.values())
    missed = tuple(name for name, word in ours.items() if word not in NOTICED)
    return Score(module, count[True], len(ours), missed)


def _copy(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(CONTENT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(CONTENT / name, folder / name)
    own = (CONTENT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(own + _settings(), encoding="utf-8")


def _settings() -> str:
    lines: dict[str, Iterable[str]] = {
        "source_paths": SOURCES,
        "only_mutate": MODULES,
        "also_copy": [name for name in (*COPIED, *FILES) if name not in SOURCES],
        "pytest_add_cli_args": QUIET,
        "pytest_add_cli_args_test_selection": TESTS,
    }
    return "\n[tool.mutmut]\n" + "".join(f"{name} = {list(values)!r}\n" for name, values in lines.items())


def _mutmut(*args: str) -> subprocess.CompletedProcess[str]:
    """Run mutmut; what the tests started that it cut off ends with it."""
    temporary = FOLDER / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "mutmut", *args],
        cwd=FOLDER,
        env={**environment, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = process.communicate()
    finally:
        end_session(process.pid)
        shutil.rmtree(temporary, ignore_errors=True)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def end_session(session: int) -> None:
    """Kill all processes of a session; those of a child that was killed are nobody's children by then."""
    for each in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(each.pid) == session:
                each.kill()
