"""The verbs on the infrastructure of an environment in the cloud."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task

ENVIRONMENT = "the name of a file in terraform/environments"


@task(help={"environment": ENVIRONMENT})
def bootstrap(c: Context, environment: str) -> None:
    """Create the bucket for an environment's state."""
    from stackhand.release import verbs

    verbs.bootstrap(environment=environment)


@task(
    help={
        "environment": ENVIRONMENT,
        "json": "one JSON document on stdout",
        "detailed-exitcode": "end with 20 when there are changes",
        "refresh": "compare with AWS, not only with the state",
        "lock-wait": "seconds to wait for another plan or deploy",
    }
)
def plan(
    c: Context,
    environment: str,
    json: bool = False,
    detailed_exitcode: bool = False,
    refresh: bool = True,
    lock_wait: float = 0.0,
) -> None:
    """Show what a deploy would change on AWS, and the cost."""
    from stackhand.release import verbs

    verbs.plan(
        environment=environment,
        json=json,
        detailed_exitcode=detailed_exitcode,
        refresh=refresh,
        lock_wait=lock_wait,
    )


@task(
    help={
        "environment": ENVIRONMENT,
        "production": "required for production",
        "yes": "do not ask for the environment's name",
        "lock-wait": "seconds to wait for a plan or deploy",
    }
)
def destroy(c: Context, environment: str, production: bool = False, yes: bool = False, lock_wait: float = 0.0) -> None:
    """Remove an environment; keep database snapshots."""
    from stackhand.release import verbs

    verbs.destroy(environment=environment, production=production, yes=yes, lock_wait=lock_wait)
