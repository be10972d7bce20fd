"""What every stage of a release needs at hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stackhand.aws.retry import ONCE, Retry
from stackhand.aws.waiting import Clock, Say
from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment
from stackhand.release import target as targets
from stackhand.release.manifest import Manifest, Releases
from stackhand.release.rollout import PATIENCE, POLL, Rollout
from stackhand.release.target import Target, Targets


@dataclass(frozen=True)
class Pace:
    """How a release waits.

    Args:
        poll: seconds between two looks at ECS.
        timeout: seconds that services may take together, and that AWS may stay busy.
        migration: seconds that the migration of a service may take, where `x-aws.migrate` gives no `timeout`.
        probes: how often in a row the release must answer well.
        cap: seconds an answer may take.
        probe_timeout: seconds in which it must.
    """

    poll: float = POLL
    timeout: float = PATIENCE
    migration: float = 7200.0
    probes: int = 3
    cap: float = 2.0
    probe_timeout: float = 30.0


@dataclass
class Context:
    """An environment, and how to talk about it.

    Args:
        environment: which.
        say: told how far we are.
        note: told what is to stay on the screen.
        clock: the time.
        token: of the lease; empty for who only reads.
        pace: how to wait.
        count: told again and again how much is done; it is shown now and then.
    """

    environment: Environment
    say: Say
    note: Say = lambda _: None
    clock: Clock = field(default_factory=Clock)
    token: str = ""
    pace: Pace = field(default_factory=Pace)
    count: Say = lambda _: None

    @cached_property
    def store(self) -> Store:
        """Its bucket; who deploys has something to lose, and waits for it."""
        return Store(self.environment, self.retry if self.token else ONCE)

    @cached_property
    def retry(self) -> Retry:
        """Repeat a call while AWS is busy, as long as services may take."""
        return Retry(self.pace.timeout, self.clock.sleep, self.say, self.clock.now)

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

    def rollout(self, target: Target) -> Rollout:
        """Return a rollout in the environment's cluster."""
        found = Rollout(self.ecs, target.cluster, self.clock, self.say, poll=self.pace.poll, timeout=self.pace.timeout)
        found.note, found.require = self.note, self.require_lease
        found.targets = Targets(self.environment.client("elbv2"), target)
        return found

    def require_lease(self) -> None:
        """Go on only while the lease is ours."""
        from stackhand.release import lease

        lease.require(self.store, self.token)


def target_of(manifest: Manifest) -> Target:
    """Return where a release went."""
    return targets.parse(manifest.target)
