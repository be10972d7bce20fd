"""How anything here stops on purpose: one paragraph, one exit code."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import msgspec


class ExitCode(IntEnum):
    """The exit codes of every verb: a contract, documented in docs/output.md."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PREFLIGHT = 3
    UNHEALTHY = 4
    PORT_TAKEN = 5
    ROLLED_BACK = 10
    DEPLOY_FAILED = 11
    SUPERSEDED = 12
    STILL_ROLLING = 13
    LOCKED = 14
    CHANGES = 20
    INTERRUPTED = 130


class Exit(Exception):  # noqa: N818 - an end, not a fault
    """End a verb with a code and say nothing, for all there is to say has been said."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code)
        self.code = code


class FailureDocument(msgspec.Struct, frozen=True):
    """A failure as it crosses a process: the `error` object of docs/output.md.

    Its `kind` is the name of the exit code; all else is as in `Failure`.
    """

    code: ExitCode
    kind: str
    what: str
    evidence: list[str]
    next: str


class Failure(Exception):  # noqa: N818 - it is the noun of the product, printed as such
    """What failed, the evidence, and the one next command.

    Args:
        what: one sentence, naming the thing that failed.
        evidence: lines that show it (a log's end, a health answer), oldest first.
        next: the command or act that fixes it or shows more.
        code: the exit code of the verb.
    """

    def __init__(
        self,
        what: str,
        *,
        evidence: Sequence[str] = (),
        next: str = "",  # noqa: A002 - as it is printed
        code: ExitCode = ExitCode.FAILED,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.evidence = tuple(evidence)
        self.next = next
        self.code = code

    def document(self) -> FailureDocument:
        """Return the failure for programs."""
        return FailureDocument(self.code, self.code.name.lower(), self.what, list(self.evidence), self.next)

    @classmethod
    def of(cls, document: FailureDocument) -> Failure:
        """Return the failure that another process reported."""
        return cls(document.what, evidence=document.evidence, next=document.next, code=document.code)

    def text(self) -> str:
        """Return the failure as people read it, without colour."""
        lines = [self.what, *(f"  {line}" for line in self.evidence)]
        if self.next:
            lines.append(f"next: {self.next}")
        return "\n".join(lines)
