"""The verbs deploy and rollback, which have no namespace."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task

ENVIRONMENT = "the name of a file in terraform/environments"


@task(
    help={
        "environment": ENVIRONMENT,
        "tag": "deploy this commit, whose images exist; or an additional name for the current commit",
        "yes": "do not ask for the environment's name",
        "json": "progress, one JSON document per line",
        "dirty": "include uncommitted changes",
        "allow-older": "deploy even if a newer commit runs, or it is unknown which is newer",
        "lock-wait": "seconds to wait for another deploy",
        "max-severity": "worst finding of the image scan that may be deployed: low, medium, high, critical, any",
        "resume": "continue a release that is still rolling",
        "from-snapshot": "create the database from this snapshot: a name from cloud.snapshots, or SERVICE=NAME",
        "replace-database": "with --from-snapshot: replace an existing database; takes a snapshot of it first",
    }
)
def deploy(
    c: Context,
    environment: str,
    tag: str = "",
    yes: bool = False,
    json: bool = False,
    dirty: bool = False,
    allow_older: bool = False,
    lock_wait: float = 0.0,
    max_severity: str = "high",
    resume: bool = False,
    from_snapshot: str = "",
    replace_database: bool = False,
) -> None:
    """Deploy this commit, and roll back on failure."""
    from stackhand.release import verbs as module

    module.deploy(
        environment=environment,
        tag=tag,
        yes=yes,
        json=json,
        dirty=dirty,
        allow_older=allow_older,
        lock_wait=lock_wait,
        max_severity=max_severity,
        resume=resume,
        from_snapshot=from_snapshot,
        replace_database=replace_database,
    )


@task(
    help={
        "environment": ENVIRONMENT,
        "to": "a release or a commit; default: the good release before the current one",
        "yes": "do not ask for the environment's name",
        "json": "progress, one JSON document per line",
        "lock-wait": "seconds to wait for another deploy",
        "allow-unsigned": "allow images without a signature, from before images were signed",
    }
)
def rollback(
    c: Context,
    environment: str,
    to: str = "",
    yes: bool = False,
    json: bool = False,
    lock_wait: float = 0.0,
    allow_unsigned: bool = False,
) -> None:
    """Redeploy an earlier release, with all its services."""
    from stackhand.release import verbs as module

    module.rollback(
        environment=environment, to=to, yes=yes, json=json, lock_wait=lock_wait, allow_unsigned=allow_unsigned
    )
