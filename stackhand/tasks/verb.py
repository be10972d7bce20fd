"""`task`, the decorator of the verbs: a failure is a sentence or JSON, never a traceback; and a quicker Invoke."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

from stackhand.cli import console, streams
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.cli.reporter import Reporter
from stackhand.project import ownership


def _yaml(stream: Any) -> Any:
    import yaml

    return yaml.safe_load(stream)


STUBS: dict[str, dict[str, Any]] = {
    "unittest.mock": {"Mock": object},  # of its MockContext: asyncio and TLS
    "importlib.metadata": {"version": lambda _: ""},  # of Invoke itself, which nobody is told: mail and zip files
    "invoke.vendor.yaml": {"safe_load": _yaml},  # a copy of PyYAML, for files of settings that hardly anybody has
}
"""What Invoke imports and we do without: half of the time that each start takes."""


def _import_invoke() -> None:
    """Import Invoke without what stands in STUBS, as far as nobody has imported that before."""
    made = {name: ModuleType(name) for name in STUBS if name not in sys.modules}
    for name, module in made.items():
        vars(module).update(STUBS[name])
    sys.modules.update(made)
    try:
        import invoke.context  # noqa: F401
    finally:
        for name in made:
            del sys.modules[name]


_import_invoke()

from invoke.exceptions import Exit as InvokeExit  # noqa: E402
from invoke.parser.argument import Argument  # noqa: E402
from invoke.tasks import Task  # noqa: E402
from invoke.tasks import task as invoke_task  # noqa: E402


class Verb(Task):  # type: ignore[type-arg]
    """A task whose failures people can read; with `--json` they are a document on stdout instead."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the verb.

        Raises:
            InvokeExit: the verb failed; what there is to say has been said.
        """
        signal.signal(signal.SIGTERM, signal.default_int_handler)
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
        except KeyboardInterrupt:
            raise InvokeExit(code=int(ExitCode.INTERRUPTED)) from None
        except Exception as error:
            failure = self._failure_of(error)
            if failure is None:
                raise InvokeExit(code=int(ExitCode.DONE)) from None
            if kwargs.get("json"):
                console.document({"error": failure.document()})
            else:
                with suppress(OSError):  # what failed is to be told all the same
                    sys.stdout.flush()
                Reporter(sys.stderr).failure(failure)
            raise InvokeExit(code=int(failure.code)) from error

    def _failure_of(self, error: Exception) -> Failure | None:
        """Return what an error is told as; None where stdout takes nothing, for `streams.finish` tells of that."""
        if isinstance(error, Failure):
            return error
        if isinstance(error, PermissionError):
            return ownership.refused(error)
        if isinstance(error, OSError) and streams.error_of(sys.stdout):
            return None
        from stackhand.aws import errors  # which most verbs never need

        return errors.failure_of(error) or console.defect(self.name, error)

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


task = partial(invoke_task, klass=Verb)
"""The decorator that makes a function a verb."""
