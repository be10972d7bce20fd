"""The options that several steps of a release take."""

from __future__ import annotations

from stackhand.ansible import options
from stackhand.release.manifest import Manifest
from stackhand.release.target import Pace


class OnEnvironment(options.Options):
    """Options of a step on an environment.

    Args:
        environment: its name, as in terraform/environments.
    """

    environment: str


class Leased(OnEnvironment):
    """Options of a step that needs the lease.

    Args:
        token: of the lease, as release_acquire took it.
        pace: how to wait.
    """

    token: str
    pace: Pace = Pace()


class OfRelease(Leased, kw_only=True):
    """Options of a step on a release.

    Args:
        manifest: the release, as the step before left it.
    """

    manifest: Manifest
