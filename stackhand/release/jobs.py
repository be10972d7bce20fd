"""`./inv run JOB -e ENVIRONMENT`: a job of the last known good release, once and now, as a task on ECS."""

from __future__ import annotations

import secrets

from stackhand.aws.waiting import Interrupted
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import writer
from stackhand.release.context import Context, EnvironmentState, find
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.images import provenance, signature
from stackhand.release.manifest import Manifest
from stackhand.release.stages.migration import Migration
from stackhand.release.target import short, target_of


class JobRun(Migration):
    """The task of a job that somebody starts; no release depends on it."""

    unharmed = ""
    failed = ExitCode.FAILED

    @property
    def again(self) -> str:
        """How to repeat it, at the end of a sentence."""
        return f"./inv run {self.name} -e {self.target.environment}"


def run(name: str, *, environment: str) -> None:
    """Run a job, show its log as it comes, and tell its exit code.

    Raises:
        Failure: there is no such job or release, its image is not signed, or its exit code is not 0.
    """
    state = find(environment)
    context = Context(state.environment, console.notify, console.notify)
    current = _released(state, name)
    definition = _definition(state, current, name)
    images = provenance.of_definitions(context, {name: definition}, current.commit)
    for note in signature.require_again(state.environment, images, f"./inv deploy -e {environment}"):
        console.notify(note)
    target, write = target_of(current), writer([name])
    console.notify(f"{name} of {current.commit[:12]}: {short(definition)}")
    task = JobRun(
        Cluster(context.ecs, target.cluster, context.retry),
        context.cloudwatch,
        target,
        name,
        context.clock,
        lambda _: None,  # its own lines are what there is to see
        show=lambda line: write(name, line),
        timeout=target.jobs[name].timeout or context.timing.migration,
    )
    with context.clock.listening():
        try:
            task.run(definition, f"run-{secrets.token_hex(8)}")
        except Interrupted:
            raise Failure(f"Interrupted; {name} was not started.", code=ExitCode.INTERRUPTED) from None
    console.write(f"{name}: exit code 0")


def _released(state: EnvironmentState, name: str) -> Manifest:
    """Return the last known good release, which has the job."""
    where = state.environment.name
    if state.current is None:
        raise Failure(f"{where} has no good release yet.", next=f"./inv deploy -e {where}", code=ExitCode.UNHEALTHY)
    jobs = target_of(state.current).jobs
    if name not in jobs:
        raise Failure(
            f"{where} has no job {name!r}.", evidence=[f"jobs: {', '.join(jobs) or 'none'}"], code=ExitCode.USAGE
        )
    return state.current


def _definition(state: EnvironmentState, current: Manifest, name: str) -> str:
    """Return the job's task definition; a release that does not replace the services has none for what runs before."""
    if name in current.scheduled:
        return current.scheduled[name].task_definition
    for each in (current, *state.releases.newest_first()):
        if each.good and each.id <= current.id and name in each.jobs:
            return each.jobs[name]
    where = state.environment.name
    what = f"No good release of {where} has a task definition of {name}."
    raise Failure(what, next=f"./inv deploy -e {where}", code=ExitCode.UNHEALTHY)
