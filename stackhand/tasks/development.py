"""The verbs for Stackhand's own developers; each body is one call."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks import environment as environment_tasks
from stackhand.tasks.verb import Verb, task


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


MEASUREMENTS = {
    "local": "Measure the verbs on this machine, beside the bare programs.",
    "compose": "Measure the verbs on containers, beside docker compose.",
    "service": "Measure the service, beside FastAPI, Flask and Express.",
    "soak": "Send the service 500 requests a second for a minute.",
    "page": "Measure the status page: first paint, size, delay.",
    "deploy": "Measure a deploy, beside the same steps by hand.",
    "adoption": "Measure init and the first up of a project, beside the bare installation.",
    "many": "Measure 34 services, beside the bare programs and docker compose.",
    "growth": "Measure what a million lines of log and 320 components take.",
}
"""The verbs of `bench`: each runs the module in bench/ of that name, but for MODULES."""
MODULES = {"soak": "service_soak"}


def measurement(name: str) -> Verb:
    """Return the verb that runs a measurement."""

    def measure(c: Context) -> None:
        from stackhand.development import verbs as development

        development.bench(MODULES.get(name, name))

    measure.__doc__ = MEASUREMENTS[name]
    return Verb(measure, name=name)
