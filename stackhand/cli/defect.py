"""An error nobody foresaw, as people read it: whose mistake it is, and where its traceback is kept."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime

from stackhand import ROOT
from stackhand.cli.failure import Failure
from stackhand.project import private


def of(doing: str, error: Exception) -> Failure:
    """Keep the traceback of an error, and return the failure that says where.

    Args:
        doing: the verb or the step that met it.
        error: what was met.
    """
    from stackhand import redaction  # which reads YAML, and there is rarely a defect

    path = ROOT / ".stackhand" / "logs" / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
    where = "the traceback could not be written"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private.write(path, redaction.current().text("".join(traceback.format_exception(error))))
        where = f"traceback: {path.relative_to(ROOT)}"
    except OSError:
        pass
    return Failure(
        f"This is a bug in Stackhand: {doing} raised {type(error).__name__}: {error}",
        evidence=[where],
        next="./inv support, and attach its bundle to an issue",
    )
