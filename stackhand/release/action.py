"""What the actions of a release share, beside what all our actions do: its context, and an end when interrupted."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from stackhand import environments
from stackhand.action import Action
from stackhand.failure import ExitCode, Failure
from stackhand.playbook import INTERRUPTED_TO
from stackhand.release.aws import failure
from stackhand.release.context import Context, Pace
from stackhand.release.manifest import Manifest, parse
from stackhand.release.waiting import Clock, Interrupted


def _warm_up() -> None:
    """Load in Ansible's own process what each of the workers that it forks would have to load again: half a second."""
    with contextlib.suppress(ImportError):
        import boto3  # noqa: F401 - may be missing, which a verb mends
        import hcl2

        hcl2.loads("")
        for service in ("s3", "ecs"):
            environments.session().client(service, region_name="us-east-1")


_warm_up()


class ReleaseAction(Action):
    """An action of a release, whose work is the method `release`."""

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Do the work; an interrupt becomes a failure that is told at once, for Ansible does not wait for it."""
        if check:
            return {"changed": False, "skipped": True, "msg": "what a release would do is told by ./inv plan"}
        given = json.loads(json.dumps(arguments))  # without Ansible's tags, which no other library knows
        clock = Clock()
        with clock.listening():
            try:
                return self.release(self._context(given, clock), given)
            except Interrupted:
                raise self._tell_failure(Failure("Interrupted.", code=ExitCode.INTERRUPTED), clock) from None
            except Failure as found:
                raise self._tell_failure(found, clock) from None
            except Exception as error:
                if type(error).__module__.startswith("botocore"):
                    raise self._tell_failure(failure(f"{type(self).words} failed", error), clock) from error
                raise

    words = "The release"

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Do the work, as `act` says."""
        raise NotImplementedError

    def _context(self, arguments: dict[str, Any], clock: Clock) -> Context:
        pace = Pace(**{key: type(getattr(Pace, key))(value) for key, value in (arguments.get("pace") or {}).items()})
        environment = environments.load(str(arguments["environment"]))
        return Context(environment, self.progress, clock, str(arguments.get("token", "")), pace)

    def _tell_failure(self, found: Failure, clock: Clock) -> Failure:
        """Tell a failure at once when we are interrupted: nobody may be left to tell it for us."""
        if clock.interrupted:
            if self.told_at_once:
                self._tell({"event": "failure", "failure": found.to_dict()})
            elif INTERRUPTED_TO in os.environ:
                with contextlib.suppress(OSError):
                    os.write(int(os.environ[INTERRUPTED_TO]), (found.text() + "\n").encode())
        return found


def manifest_of(arguments: dict[str, Any]) -> Manifest:
    """Return the release that a task was given."""
    return parse(arguments["manifest"])
