"""`./inv doctor`: what could keep the stack from running, each with its remedy. It changes nothing."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict

from stackhand.cli import console
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.local import checks
from stackhand.local.checks import Check
from stackhand.project import ownership

TIMEOUT = 3.0
GLYPHS = {"pass": "done", "warn": "warning", "fail": "failed"}
COLOURS = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def doctor(*, json: bool) -> None:
    """Look at everything and show what was found.

    Raises:
        Exit: something keeps the stack from running.
    """
    results = examine()
    worst = next((status for status in ("fail", "warn") if any(check.status == status for check in results)), "pass")
    if json:
        console.document({"status": worst, "checks": [_document(check) for check in results]})
    else:
        _show(results)
    if worst == "fail":
        raise Exit(ExitCode.PREFLIGHT)


def _document(check: Check) -> dict[str, str]:
    """Return a check for programs, with the keys that `message` and `remedy` had before."""
    return {**asdict(check), "words": check.message, "mend": check.remedy}


def examine() -> list[Check]:
    """Return all checks. Each category gets three seconds, or more where it asks a container engine on another machine.

    One that takes longer is told as such.
    """
    from stackhand.containers import docker

    results: list[Check] = []
    within = TIMEOUT + docker.answer_within() - docker.ANSWER_WITHIN
    for category, look in checks.CATEGORIES.items():
        answered: list[Check] = []
        thread = threading.Thread(target=_collect, args=(category, look, answered), daemon=True)
        thread.start()
        thread.join(within)
        results += answered
        if thread.is_alive():
            results.append(Check(category, category, "warn", f"no answer within {within:g} s"))
    return results


def _show(results: list[Check]) -> None:
    """Show the checks by category; a failure that keeps several categories from an answer is shown once."""
    failed: set[str] = set()
    styles = {console.glyph(GLYPHS[status]): colour for status, colour in COLOURS.items()}
    for category, group in itertools.groupby(results, key=lambda check: check.category):
        rows: list[list[str]] = []
        for check in group:
            if check.status == "fail" and check.message in failed:
                continue
            failed |= {check.message} if check.status == "fail" else set()
            rows.append([console.glyph(GLYPHS[check.status]), check.name, check.message])
            if check.remedy:
                rows.append(["", "", f"fix: {check.remedy}"])
        if rows:
            console.write(category)
            console.table(rows, ["", "", ""], styles, indent=2)


def _collect(category: str, look: Callable[[], Iterator[Check]], result: list[Check]) -> None:
    try:
        for check in look():
            result.append(check)  # noqa: PERF402 - what was found before a failure counts
    except (Failure, PermissionError) as error:
        failure = error if isinstance(error, Failure) else ownership.refused(error)
        message = f"{failure.what} {'; '.join(failure.evidence)}".rstrip()
        result.append(Check(category, category, "fail", message, failure.next))
    except Exception as error:  # a check that breaks is a finding, not the end of the examination
        result.append(Check(category, category, "fail", f"the check itself failed: {type(error).__name__}: {error}"))
