"""The verbs for who works on this repository: test, check, bench, lock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from stackhand.cli import console
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.cli.reporter import Reporter, StepReport
from stackhand.system import program
from stackhand.system.roots import CONTENT

PYTHON = sys.executable
BIN = Path(PYTHON).parent
COMPILE = [PYTHON, "-m", "uv", "pip", "compile", "--universal", "--generate-hashes", "--no-annotate", "--quiet"]
COMPILE_AS = ["--custom-compile-command", "./inv lock"]
TOOLKIT = ["--python-version", "3.11"]
WITH_CLOUD = ["-c", "requirements.lock", "-c", "requirements-cloud.lock"]
IMAGE = ["--python-version", "3.13", "-c", "requirements.lock"]
LOCKS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "requirements.lock": ((), ["pyproject.toml", *TOOLKIT]),
    "requirements-cloud.lock": (("cloud",), ["-", "-c", "requirements.lock", *TOOLKIT]),
    "requirements-dev.lock": ((), ["pyproject.toml", "--extra", "cloud", "--group", "dev", *WITH_CLOUD, *TOOLKIT]),
    "requirements-ministack.lock": (("ministack",), ["-", *TOOLKIT]),
    "requirements-checkov.lock": (("checkov",), ["-", *TOOLKIT]),
    "service/requirements.lock": (("service",), ["-", *IMAGE]),
    "service/requirements-development.lock": (("service", "reload"), ["-", *IMAGE]),
}
"""The lock files: the extras of pyproject.toml that go in through standard input, and what else uv is told."""

SCRIPTS = (
    "inv",
    ".ci/run",
    ".ci/provider",
    "web/start",
    "web/check",
    "tests/engine/install",
    "tests/engine/start",
    "tests/engine/images",
    "tests/rehearsal/terraform",
)
CHECKS = {
    "ruff": [PYTHON, "-m", "ruff", "check", "."],
    "format": [PYTHON, "-m", "ruff", "format", "--check", "--diff", "."],
    "mypy": [PYTHON, "-m", "mypy"],
    "imports": [f"{BIN}/lint-imports", "--no-logo"],
    "codespell": [f"{BIN}/codespell", "."],
    "yamllint": [PYTHON, "-m", "yamllint", "--strict", "."],
    "ansible-lint": [PYTHON, "-m", "ansiblelint", "--offline", "-q"],
    "shellcheck": [f"{BIN}/shellcheck", *SCRIPTS],
    "actionlint": [f"{BIN}/jactionlint", f"--shellcheck={BIN}/shellcheck", "--strict-exit"],
    "zizmor": [f"{BIN}/zizmor", "--offline", "--quiet", ".github/workflows"],
}
"""The linters, by name: what to run in the checkout."""


def test(*, fast: bool, only: str) -> None:
    """Run the tests; `fast` without those that start a whole stack, `only` those of an expression for pytest's -k.

    Raises:
        Failure: tests failed; pytest has said which.
    """
    _install()
    workers = 2 * (os.cpu_count() or 1)  # half of a test that starts a stack is waiting
    args = [PYTHON, "-m", "pytest", "-n", str(workers), "--dist", "loadgroup", "--no-loadscope-reorder"]
    if fast:
        args += ["-m", "not slow"]
    if only:
        args += ["-k", only]
    if program.show(args, folder=CONTENT) != 0:
        raise Exit(ExitCode.FAILED)


def check(*, mutation: bool, vulnerabilities: bool) -> None:
    """Run the linters, or instead count which changes of the code the tests notice, or look up the locked packages.

    Raises:
        Failure: something was found.
    """
    if vulnerabilities:
        from stackhand.development import vulnerabilities as module

        module.check(LOCKS)
        return
    _install()
    check_mutation() if mutation else check_style()


def check_style() -> None:
    """Run every linter, show what each of them says, and how long it took.

    Raises:
        Failure: a linter found problems.
    """
    reporter = Reporter(sys.stdout)
    bad = []
    for name, command in CHECKS.items():
        reporter.task(name)
        began = time.monotonic()
        result = _run(command)
        seconds = time.monotonic() - began
        if result.returncode == 0:
            reporter.step(StepReport(name, "passed", seconds), changed=True)
            continue
        bad.append(name)
        reporter.stop()
        console.write(f"{name}:\n{result.stdout}{result.stderr}")
    reporter.stop()
    if bad:
        raise Failure(f"Checks failed: {', '.join(bad)}.")


def check_mutation() -> None:
    """Show for each of the modules that matter most how many changes of it the tests notice, and which they miss.

    Then the same of terraform/, whose mistakes are seeded ones (docs/decisions/077-oracles.md).

    Raises:
        Failure: too few are noticed.
    """
    from stackhand.development import mutation

    seeded = _seeded()
    results = mutation.run()
    for score in results:
        console.write(str(score))
        for name in score.missed:
            console.write(f"  {name}")
    low = mutation.too_low(results)
    if low:
        raise Failure(f"The tests notice less than {mutation.WANTED:g} % of the changes in {', '.join(low)}.")
    if seeded != 0:
        raise Failure("Too few of the mistakes that are seeded in terraform/ are noticed.", next="read the lines above")


def _seeded() -> int:
    """Make each seeded mistake in terraform/, show which are noticed, and return an exit code."""
    return program.show([PYTHON, "-m", "tests.oracles"], folder=CONTENT)


def bench(name: str) -> None:
    """Run a measurement of bench/ and show its table.

    Raises:
        Failure: it could not be finished.
    """
    _install()
    if program.show([PYTHON, "-m", f"bench.{name}"], folder=CONTENT) != 0:
        raise Failure(f"The measurement {name} did not finish.")


def lock(*, upgrade: bool) -> None:
    """Compile pyproject.toml into the lock files; with `upgrade`, of the newest versions that it allows.

    Raises:
        Failure: versions cannot be found that go together.
    """
    extras = tomllib.loads((CONTENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for name, (chosen, flags) in LOCKS.items():
        args = [*COMPILE, *COMPILE_AS, *flags, *(["--upgrade"] if upgrade else []), "--output-file", name]
        given = "\n".join(requirement for extra in chosen for requirement in extras[extra])
        result = program.run(args, folder=CONTENT, text=given)
        if result.returncode != 0:
            raise Failure(f"{name} could not be compiled.", evidence=result.stderr.splitlines()[-10:])
        console.write(name)


def _install() -> None:
    """Have the packages of requirements-dev.lock: `./inv` knows how, and says so when it cannot."""
    if program.show(["sh", str(CONTENT / "inv"), "--install-development"], folder=CONTENT) != 0:
        raise Exit(ExitCode.FAILED)


def _run(args: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return program.run(args, folder=CONTENT)
