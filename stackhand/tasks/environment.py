"""The verbs on an environment in the cloud, from its bucket to its end; they are no namespace."""

from __future__ import annotations

from invoke.context import Context

from stackhand.tasks.verb import task

ENVIRONMENT = "the name of a file in environments"


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
        environment=environment, json=json, detailed_exitcode=detailed_exitcode, refresh=refresh, lock_wait=lock_wait
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
        "skip-hooks": "do not run the programs in hooks/",
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
    skip_hooks: bool = False,
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
        skip_hooks=skip_hooks,
    )


@task(
    help={
        "environment": ENVIRONMENT,
        "to": "a release or a commit; default: the good release before the current one",
        "yes": "do not ask for the environment's name",
        "json": "progress, one JSON document per line",
        "lock-wait": "seconds to wait for another deploy",
        "allow-unsigned": "allow images without a signature, from before images were signed",
        "skip-hooks": "do not run the programs in hooks/",
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
    skip_hooks: bool = False,
) -> None:
    """Redeploy an earlier release, with all its services."""
    from stackhand.release import verbs as module

    module.rollback(
        environment=environment,
        to=to,
        yes=yes,
        json=json,
        lock_wait=lock_wait,
        allow_unsigned=allow_unsigned,
        skip_hooks=skip_hooks,
    )


@task(
    help={
        "keep": "leave the last good release running and print its address",
        "restore": "also destroy the environment and restore it with its data from its last snapshot",
        "stop": "instead: stop what --keep left running",
        "verbose": "show all output of the verbs, not only their changes",
    }
)
def rehearse(c: Context, keep: bool = False, restore: bool = False, stop: bool = False, verbose: bool = False) -> None:
    """Rehearse a deploy on this machine, on an AWS emulator."""
    from stackhand.rehearsal import rehearse as module

    module.stop() if stop else module.rehearse(keep=keep, restore=restore, verbose=verbose)


CHECK_CLOUD = {
    "cloud": "what AWS would refuse or do differently, without an account or Terraform",
    "live": "after a deploy: what only AWS can show; raises an alarm for a moment",
    "environment": "with --cloud or --live: the name of a file in environments",
    "json": "with --cloud or --live: one JSON document on stdout",
}


@task(help=CHECK_CLOUD)
def check_project(
    c: Context, cloud: bool = False, live: bool = False, environment: str = "", json: bool = False
) -> None:
    """Check what AWS would refuse or do differently."""
    if live and environment:
        from stackhand.release.cloud import live as module

        module.check(environment=environment, json=json)
        return
    from stackhand.infrastructure import cloud_check

    cloud_check.check(cloud=cloud, environment=environment, json=json)
