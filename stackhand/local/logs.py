"""`./inv logs`: what the services say, together in the order of time, or as they say it."""

from __future__ import annotations

from collections.abc import Sequence

from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import merged, since_of, writer
from stackhand.cli.loglines import since as lines_since
from stackhand.local import engines
from stackhand.project.state import State
from stackhand.system.roots import PROJECT

SCANNED = 100_000


def logs(services: Sequence[str], *, follow: bool, since: str | None, lines: int) -> None:
    """Show the end of the logs.

    Args:
        services: whose; all, when empty.
        follow: go on until interrupted.
        since: only lines younger than this: 10m, 2h, 1d, or an ISO 8601 time.
        lines: how many of each service, at most.

    Raises:
        Failure: a service is not known, or `since` or `lines` cannot be understood.
    """
    if lines < 1:
        raise Failure(f"--lines {lines} shows nothing.", next="use a number from 1", code=ExitCode.USAGE)
    start = since_of(since) if since else None
    engine = engines.remembered(State(PROJECT))
    known = engine.started()
    if not known:
        raise Failure("There are no logs yet.", next="./inv up", code=ExitCode.UNHEALTHY)
    if unknown := [name for name in services if name not in known]:
        raise Failure(
            f"There is no service {unknown[0]!r}.", evidence=[f"known: {', '.join(known)}"], code=ExitCode.USAGE
        )
    chosen = list(services) or known
    write = writer(chosen)
    following = engine.follow(chosen) if follow else ()
    for line in merged(
        [lines_since(engine.lines(name, SCANNED if start else lines), start)[-lines:] for name in chosen]
    ):
        write(line.service, line.text)
    for line in following:
        write(line.service, line.text)
