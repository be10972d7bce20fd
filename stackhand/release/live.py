"""`./inv check -e ENV --live`: what only AWS can show after a deploy, as a table (docs/first-account.md)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stackhand.aws.errors import failure_of
from stackhand.cli import console
from stackhand.cli.failure import Exit, ExitCode
from stackhand.release import status
from stackhand.release.live_checks import CHECKS, Live, LiveCheck

STYLES = {"works": "green", "fails": "bold red", "unknown": "yellow"}
HEADINGS = ("", "looked at", "found", "fix")


def check(*, environment: str, json: bool) -> None:
    """Check an environment that runs.

    Args:
        environment: which.
        json: one document on stdout.

    Raises:
        Failure: it is not known, or nothing was ever released to it.
        Exit: something does not work.
    """
    found = checks(Live(status.find(environment)))
    if json:
        console.document({"environment": environment, "checks": msgspec.to_builtins(found)})
    else:
        console.table([(each.verdict, each.name, each.message, each.remedy) for each in found], HEADINGS, STYLES)
        console.write(f"\n{environment}: {summary(found)}")
    if any(each.verdict == "fails" for each in found):
        raise Exit(ExitCode.UNHEALTHY)


def checks(live: Live) -> list[LiveCheck]:
    """Return what each check finds; what AWS does not let us ask is unknown, with its reason."""
    found = []
    for each in CHECKS:
        try:
            found += list(each(live))
        except Exception as error:
            if (failure := failure_of(error)) is None:
                raise
            found.append(LiveCheck(each.__name__, "unknown", " ".join([failure.what, *failure.evidence[:1]])))
    return found


def summary(found: Iterable[LiveCheck]) -> str:
    """Return how many work, fail, and could not be told."""
    verdicts: list[str] = [each.verdict for each in found]
    return ", ".join(f"{verdicts.count(name)} {label}" for name, label in _LABELS.items() if verdicts.count(name))


_LABELS = {"works": "work", "fails": "do not work", "unknown": "cannot be told"}
