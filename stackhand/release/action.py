"""What the steps of a release share: their options, their context, and an end when interrupted."""

from __future__ import annotations

import contextlib
import os
from abc import abstractmethod
from typing import Any

from stackhand.ansible import events, process
from stackhand.ansible.action import Action, Result, StepOptions
from stackhand.aws import errors
from stackhand.aws.waiting import Clock, Interrupted
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import environments
from stackhand.release import lease
from stackhand.release.context import Context, Timing
from stackhand.release.manifest import Manifest


class OnEnvironment(StepOptions):
    """Options of a step on an environment.

    Args:
        environment: its name, as in environments.
    """

    environment: str


class Leased(OnEnvironment):
    """Options of a step that needs the lease.

    Args:
        token: of the lease, as release_acquire took it.
        timing: how to wait.
    """

    token: str
    timing: Timing = Timing()


class OfRelease(Leased, kw_only=True):
    """Options of a step on a release.

    Args:
        manifest: the release, as the step before left it.
    """

    manifest: Manifest


environments.load_ahead("s3", "ecs")  # here, or each of the workers that Ansible forks would have to


class ReleaseAction(Action):
    """A step of a release, whose work is the method `release`.

    Its class attribute `work` names the work in a sentence; one that `reads` only may be run in check mode.
    """

    Options = OfRelease
    work = "The release"
    reads = False

    def act(self, options: Any, *, check: bool) -> Result:
        """Do the work; an interrupt becomes a failure that is reported at once, for Ansible does not wait for it."""
        if check and not self.reads:
            raise Failure(
                "Check mode cannot simulate a release.",
                next=f"./inv plan -e {options.environment} shows what it would change",
                code=ExitCode.USAGE,
            )
        playbook = process.playbook_pid()
        clock = Clock(0 if playbook == os.getpid() else playbook)  # whoever watches may end: the work is finished
        token, timing = getattr(options, "token", ""), getattr(options, "timing", Timing())
        environment = environments.load(options.environment)
        resumes = getattr(options, "kind", "") == "resume"
        context = Context(environment, self.progress, self.note, clock, token, timing, self.count, resumes)
        with clock.listening():
            try:
                return self.release(context, options)
            except Exception as error:
                failure = self._failure_of(error)
                if failure is not None:
                    if clock.interrupted:  # nobody may be left to report it for us
                        events.emit(events.StepFailed(failure.document()))
                    _give_back(context)
                if failure is None or failure is error:
                    raise
                raise failure from error

    @abstractmethod
    def release(self, context: Context, options: Any) -> Result:
        """Do the work, as `act` says."""

    def _failure_of(self, error: Exception) -> Failure | None:
        """Return what there is to say of an error; nothing of one that nobody foresaw."""
        if isinstance(error, Failure):
            return error
        if isinstance(error, Interrupted):
            return Failure("Interrupted; no service was changed.", code=ExitCode.INTERRUPTED)
        return errors.failure_of(error, f"{type(self).work} failed")


def _give_back(context: Context) -> None:
    """Give the lease back where we fail: the next deploy need not wait until its heartbeat notices."""
    if context.token:
        with contextlib.suppress(Failure):
            lease.give_back(context.store, context.token)
