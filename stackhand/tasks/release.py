"""The verbs that change what runs in the cloud; they are no namespace."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task

ENVIRONMENT = "the environment, as in terraform/environments"


@task(
    help={
        "environment": ENVIRONMENT,
        "tag": "a commit whose images are there, or another name for what is checked out",
        "yes": "do not ask for the environment's name",
        "json": "what happens, one JSON document a line",
        "dirty": "with the changes that are not committed",
        "allow-older": "also when a newer commit runs, or nobody can tell which is newer",
        "lock-wait": "seconds to wait for another deploy to end",
        "max-severity": "of what the scan of an image may find: low, medium, high, critical, any",
        "resume": "go on waiting for a release that was left rolling",
        "from-snapshot": "what the database starts from: a name of cloud.snapshots, or SERVICE=NAME",
        "replace-database": "with --from-snapshot: also where there is one already; it leaves a snapshot",
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
    """Release this commit: build, migrate, replace, probe; or go back."""
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
        "to": "a release or a commit; without it, the last good one before this",
        "yes": "do not ask for the environment's name",
        "json": "what happens, one JSON document a line",
        "lock-wait": "seconds to wait for another deploy to end",
        "allow-unsigned": "also to images that have no signature, from before images were signed",
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
    """Bring an earlier release back, all services of it."""
    from stackhand.release import verbs as module

    module.rollback(
        environment=environment, to=to, yes=yes, json=json, lock_wait=lock_wait, allow_unsigned=allow_unsigned
    )
