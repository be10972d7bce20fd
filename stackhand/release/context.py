"""An environment: how a release waits there, how to talk about it, and what the bucket knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from stackhand.aws.waiting import ONCE, Clock, Notify, Retry
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.store import Store
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.release import lease
from stackhand.release.manifest import Manifest, Releases
from stackhand.release.target import Target, target_of


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The polling intervals and timeouts of a release.

    Args:
        poll: seconds between two checks of ECS, at most.
        timeout: seconds that services may take together, and that AWS may stay busy.
        stay: seconds for which the tasks of a service without a health check must run.
        migration: seconds that the migration of a service may take, where `x-aws.release` gives no `timeout`.
        probes: how often in a row the release must answer well.
        cap: seconds an answer may take.
        probe_timeout: seconds in which it must.
    """

    poll: float = 2.0
    timeout: float = 900.0
    stay: float = 15.0
    migration: float = 7200.0
    probes: int = 3
    cap: float = 2.0
    probe_timeout: float = 30.0


@dataclass
class Context:
    """An environment, and how to talk about it.

    Args:
        notify: called with how far we are.
        note: called with what is to stay on the screen.
        token: of the lease; empty for who only reads.
        count: called again and again with how much is done; it is shown now and then.
        resumes: whether the release comes from the bucket, so that what it says of before is not known to be true.
    """

    environment: Environment
    notify: Notify
    note: Notify = lambda _: None
    clock: Clock = field(default_factory=Clock)
    token: str = ""
    timing: Timing = field(default_factory=Timing)
    count: Notify = lambda _: None
    resumes: bool = False

    @cached_property
    def store(self) -> Store:
        """Its bucket; who deploys has something to lose, and waits for it."""
        return Store(self.environment, self.retry if self.token else ONCE)

    @cached_property
    def retry(self) -> Retry:
        """Repeat a call while AWS is busy, as long as services may take."""
        return Retry(self.timing.timeout, self.clock.sleep, self.notify, self.clock.now)

    @cached_property
    def releases(self) -> Releases:
        """Its releases."""
        return Releases(self.store)

    @cached_property
    def ecs(self) -> Any:
        """boto3's client for ECS."""
        return self.environment.client("ecs")

    @cached_property
    def cloudwatch(self) -> Any:
        """boto3's client for CloudWatch Logs."""
        return self.environment.client("logs")

    def require_lease(self) -> None:
        """Go on only while the lease is ours."""
        lease.require(self.store, self.token)


@dataclass(frozen=True)
class EnvironmentState:
    """What the bucket knows of an environment.

    Args:
        current: the last known good one; none before the first.
        newest: the newest attempt.
    """

    environment: Environment
    releases: Releases
    current: Manifest | None
    newest: Manifest

    @property
    def target(self) -> Target:
        """Where its services are."""
        return target_of(self.newest)

    def services(self) -> dict[str, str]:
        """Return the services of the last known good release and of the newest attempt, with ECS's names."""
        targets = [*([target_of(self.current)] if self.current else []), self.target]
        return {name: each.service for target in targets for name, each in target.services.items()}


def find(name: str) -> EnvironmentState:
    """Return what the bucket knows of an environment.

    Raises:
        Failure: it is not known, cannot be read, or nothing was ever released to it.
    """
    environment = environments.load(name)
    releases = Releases(Store(environment))
    current = releases.current()
    newest = next(releases.newest_first(), current)
    if newest is None:
        raise Failure(f"{name} has no release yet.", next=f"./inv deploy -e {name}", code=ExitCode.UNHEALTHY)
    return EnvironmentState(environment, releases, current, newest)
