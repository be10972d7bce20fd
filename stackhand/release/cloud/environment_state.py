"""What the bucket knows of an environment: its releases, and where its services are."""

from __future__ import annotations

from dataclasses import dataclass

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.store import Store
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.release.manifest import Manifest, Releases
from stackhand.release.target import Target, target_of


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


def chosen(target: Target, services: list[str], *, jobs: bool = False) -> list[str]:
    """Return the services that were named; all of them when none was.

    Args:
        target: where they are.
        services: the names.
        jobs: whether they may be of jobs as well.

    Raises:
        Failure: one is not known.
    """
    known = target.tasks() if jobs else target.services
    unknown = [name for name in services if name not in known]
    if unknown:
        raise Failure(
            f"There is no service {unknown[0]!r} in {target.environment}.",
            evidence=[f"known: {', '.join(known)}"],
            code=ExitCode.USAGE,
        )
    return services or [*target.services]
