"""Have the images of a release in ECR, known by digest.

ECR is asked first; what it has not is built and pushed. Their scans must have no finding worse than allowed.
"""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import Action, Result
from stackhand.cli.reporter import StepReport
from stackhand.project import environments
from stackhand.release import target
from stackhand.release.action import OnEnvironment
from stackhand.release.images import build, registry, scan


class ActionModule(Action):
    """Has the images in ECR, and sets the fact `digests`, by the names of the services."""

    class Options(OnEnvironment):
        """Its options.

        Args:
            target: Terraform's output `release`, which names the repositories.
            commit: what is released, marked when more was built than it has; it is the images' tag.
            name: another tag that they get; it stays with this commit.
            max_severity: the worst finding of ECR's scan that may be released; `any` asks for no scan.
        """

        target: dict[str, Any]
        commit: str
        name: str
        max_severity: scan.Severity = "high"

    def act(self, options: Options, *, check: bool) -> Result:
        """Return the digests; when only checking, those that ECR has already."""
        environment, where, commit = (
            environments.load(options.environment),
            target.parse(options.target),
            options.commit,
        )
        built = where.repositories()
        before = registry.known(environment, built, commit)
        missing = [name for name in built if name not in before]
        digests = before
        if not check:
            digests = build.ensure(
                environment,
                built,
                commit,
                name=options.name,
                architecture=where.architecture,
                notify=self.progress,
            )
            for service, repository in built.items():
                scan.gate(environment, repository.name, digests[service], options.max_severity, self.progress)
        message = (
            f"built and pushed {', '.join(missing)} of {commit[:12]}" if missing else f"{commit[:12]} is already in ECR"
        )
        return Result(
            changed=bool(missing),
            facts={"digests": digests},
            step=StepReport("images", message, notes=[f"{name} {digest}" for name, digest in digests.items()]),
        )
