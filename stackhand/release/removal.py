"""The removal of an environment, as far as releases go: nobody deploys meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import actor
from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment
from stackhand.release import keeper, lease


@contextmanager
def alone(environment: Environment, tell: Callable[[str], None], patience: float = 0.0) -> Iterator[None]:
    """Hold the lease of an environment that is being removed, after waiting for it so many seconds.

    Raises:
        Failure: somebody deploys to it.
    """
    request = {
        "environment": environment.name,
        "owner": actor.owner(),
        "commit": "nothing: it is being destroyed",
        "run": actor.run_url(),
        "patience": patience,
        "pid": os.getppid(),
    }
    try:
        held = keeper.start(request, tell, lambda: None)
    except Failure as failure:
        raise _busy(failure, environment.name) from failure
    try:
        yield
    finally:
        with suppress(Failure):  # then its keeper does, or it expires
            lease.give_back(Store(environment), held["token"])
        keeper.stop(held["keeper"])


def _busy(failure: Failure, environment: str) -> Failure:
    if failure.code is not ExitCode.LOCKED:
        return failure
    return Failure(
        f"Somebody is at work on {environment}, so nothing of it was removed.",
        evidence=failure.evidence,
        next=f"wait for them; if they are dead, ./inv cloud.unlock -e {environment}",
        code=ExitCode.LOCKED,
    )
