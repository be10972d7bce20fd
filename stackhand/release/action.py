"""What the actions of a release share, beside what all our actions do: its context, and an end when interrupted."""

from __future__ import annotations

import contextlib
import json
import os
from abc import abstractmethod
from typing import Any

from stackhand import redaction
from stackhand.ansible.action import Action
from stackhand.ansible.playbook import INTERRUPTED_TO
from stackhand.aws import errors, session
from stackhand.aws.waiting import Clock, Interrupted
from stackhand.cli import packages
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import environments
from stackhand.release import lease
from stackhand.release.manifest import Manifest, parse
from stackhand.release.target import Context, Pace


def _warm_up() -> None:
    """Load in Ansible's own process what each of the workers that it forks would have to load again: half a second."""
    if not packages.CLOUD.current():  # a verb installs them
        return
    with contextlib.suppress(Exception):  # such as a profile that is not here: the action that needs it reports it
        import hcl2

        hcl2.loads("")
        for service in ("s3", "ecs"):
            session.client(service, "us-east-1")


_warm_up()


class ReleaseAction(Action):
    """An action of a release, whose work is the method `release`.

    Its class attribute `words` names the work in a sentence; one that `reads` only may be run in check mode.
    """

    words = "The release"
    reads = False

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Do the work; an interrupt becomes a failure that is told at once, for Ansible does not wait for it."""
        if check and not self.reads:
            raise Failure(
                "A release cannot be tried without doing it.",
                next=f"./inv plan -e {arguments['environment']} says what it would change",
                code=ExitCode.USAGE,
            )
        given = json.loads(json.dumps(arguments))  # without Ansible's tags, which no other library knows
        clock = Clock()
        context = self._context(given, clock)
        with clock.listening():
            try:
                return self.release(context, given)
            except Exception as error:
                found = self._failure_of(error)
                if found is not None:
                    self._tell_interrupted(found, clock)
                    _give_back(context)
                if found is None or found is error:
                    raise
                raise found from error

    @abstractmethod
    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Do the work, as `act` says."""

    def _context(self, arguments: dict[str, Any], clock: Clock) -> Context:
        pace = Pace(**{key: type(getattr(Pace, key))(value) for key, value in (arguments.get("pace") or {}).items()})
        environment = environments.load(str(arguments["environment"]))
        token = str(arguments.get("token", ""))
        return Context(environment, self.progress, self.note, clock, token, pace, self.count)

    def _failure_of(self, error: Exception) -> Failure | None:
        """Return what there is to say of an error; nothing of one that nobody foresaw."""
        if isinstance(error, Failure):
            return error
        if isinstance(error, Interrupted):
            return Failure("Interrupted; no service was touched.", code=ExitCode.INTERRUPTED)
        return errors.failure_of(error, f"{type(self).words} failed")

    def _tell_interrupted(self, found: Failure, clock: Clock) -> None:
        """Tell a failure at once when we are interrupted: nobody may be left to tell it for us."""
        if not clock.interrupted:
            return
        if self.told_at_once:
            self._tell({"event": "failure", "failure": found.to_dict()})
        elif INTERRUPTED_TO in os.environ:
            with contextlib.suppress(OSError):
                os.write(int(os.environ[INTERRUPTED_TO]), (redaction.current().failure(found).text() + "\n").encode())


def _give_back(context: Context) -> None:
    """Give the lease back where we fail: the next deploy need not wait until its keeper notices."""
    if context.token:
        with contextlib.suppress(Failure):
            lease.give_back(context.store, context.token)


def manifest_of(arguments: dict[str, Any]) -> Manifest:
    """Return the release that a task was given."""
    return parse(arguments["manifest"])
