"""Invoke tasks that print a failure and exit with its code, never with a traceback."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from invoke.exceptions import Exit as InvokeExit
from invoke.parser.argument import Argument
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from stackhand.cli import console, streams
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.cli.reporter import Reporter
from stackhand.project import ownership


class Verb(Task):  # type: ignore[type-arg]
    """A task whose failures people can read; with `--json` they are a document on stdout instead."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the verb.

        Raises:
            InvokeExit: the verb failed; what there is to say has been said.
        """
        signal.signal(signal.SIGTERM, _interrupt)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with streams.finished():
            return self._run(*args, **kwargs)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except InvokeExit:
            raise
        except Exit as end:
            raise InvokeExit(code=int(end.code)) from end
        except Failure as failure:
            self._report(failure, as_json=bool(kwargs.get("json")))
            raise InvokeExit(code=int(failure.code)) from failure
        except PermissionError as error:
            self._report(ownership.refused(error), as_json=bool(kwargs.get("json")))
            raise InvokeExit(code=int(ExitCode.PREFLIGHT)) from error
        except KeyboardInterrupt:
            raise InvokeExit(code=int(ExitCode.INTERRUPTED)) from None
        except Exception as error:
            if isinstance(error, OSError) and streams.error_of(sys.stdout):
                raise InvokeExit(
                    code=int(ExitCode.DONE)
                ) from None  # full, closed, or read by nobody: see streams.finish
            from stackhand.aws import errors  # which most verbs never need

            reported = errors.failure_of(error) or console.defect(self.name, error)
            self._report(reported, as_json=bool(kwargs.get("json")))
            raise InvokeExit(code=int(reported.code)) from error

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the flags; Invoke takes each help text away with the first call, and we ask more than once."""
        texts = dict(self.help)
        try:
            arguments = super().get_arguments(ignore_unknown_help)
        finally:
            self.help = texts
        for each in arguments:
            if each.name != "environment":  # -e means the same in every verb
                each.names = tuple(name for name in each.names if name != "e")
        return arguments

    def _report(self, failure: Failure, *, as_json: bool) -> None:
        if as_json:
            console.document({"error": failure.document()})
        else:
            with suppress(OSError):  # what failed is to be told all the same
                sys.stdout.flush()
            Reporter(sys.stderr).failure(failure)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


task = partial(invoke_task, klass=Verb)
"""The decorator that makes a function a verb."""
