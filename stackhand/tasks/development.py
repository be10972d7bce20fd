"""The verbs for Stackhand's own developers; each body is one call."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks import environment as environment_tasks
from stackhand.tasks.verb import task


@task(help={"fast": "skip the tests that start a stack", "only": "an expression for pytest's -k"})
def test(c: Context, fast: bool = False, only: str = "") -> None:
    """Run the tests."""
    from stackhand.development import verbs as development

    development.test(fast=fast, only=only)


@task(
    help={
        "mutation": "instead: change the code and count which changes the tests notice (minutes)",
        "vulnerabilities": "instead: look up known vulnerabilities of all locked packages (needs the network)",
        **environment_tasks.CHECK_CLOUD,
    }
)
def check(
    c: Context,
    mutation: bool = False,
    vulnerabilities: bool = False,
    cloud: bool = False,
    live: bool = False,
    environment: str = "",
    json: bool = False,
) -> None:
    """Run the linters, or check the services for AWS."""
    if cloud or live or environment or json:
        environment_tasks.check_project(c, cloud=cloud, live=live, environment=environment, json=json)
        return
    from stackhand.development import verbs as development

    development.check(mutation=mutation, vulnerabilities=vulnerabilities)


@task(help={"upgrade": "use the newest versions that pyproject.toml allows"})
def lock(c: Context, upgrade: bool = False) -> None:
    """Compile pyproject.toml into the lock files."""
    from stackhand.development import verbs as development

    development.lock(upgrade=upgrade)
