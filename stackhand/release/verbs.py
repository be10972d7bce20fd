"""The verbs of a release: bootstrap, plan, deploy, rollback, destroy."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from stackhand.ansible import playbook
from stackhand.aws.errors import remedy
from stackhand.cli import console, packages
from stackhand.cli.console import confirm
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.cli.reporter import Lines, Reporter
from stackhand.infrastructure import account, bucket, secrets, signing_key
from stackhand.infrastructure.plan import HOLDS_DATA, DestroyReport
from stackhand.infrastructure.store import Store
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.project.hooks import HookFacts, Hooks
from stackhand.project.state import State
from stackhand.release import plan as release_plan
from stackhand.release.images import source
from stackhand.release.manifest import Manifest, Releases
from stackhand.release.plan import PlanReport
from stackhand.release.stages.verification import ReleaseReport, show_release
from stackhand.release.target import short
from stackhand.system.roots import PROJECT


def bootstrap(*, environment: str) -> None:
    """Make the bucket of an environment, or find it made."""
    target = environments.load(environment)
    outcome = _run_infrastructure("bootstrap", target)
    state = "is ready" if outcome.changed else "was already ready"
    console.write(f"\n{environment} {state} for its first plan: ./inv plan -e {environment}")


def plan(*, environment: str, json: bool, detailed_exitcode: bool, refresh: bool, lock_wait: float) -> None:
    """Say what a deploy would change; the options are as in tasks."""
    target = environments.load(environment)
    outcome = _run_infrastructure("plan", target, as_json=json, refresh=refresh, lock_wait=lock_wait)
    report = outcome.document(PlanReport)
    if json:
        console.document(outcome.facts())
    else:
        release_plan.show_plan(report)
    if detailed_exitcode and (report.plan.changed or report.release.changed):
        raise Exit(ExitCode.CHANGES)


def destroy(*, environment: str, production: bool, yes: bool, lock_wait: float) -> None:
    """Remove an environment, but for its bucket, when its name is typed."""
    target = environments.load(environment)
    if environment == "production" and not production:
        raise Failure(
            "This is production.",
            evidence=["its images, logs and secrets would be deleted, and its databases except for a last snapshot"],
            next="./inv destroy -e production --production, to confirm",
            code=ExitCode.USAGE,
        )
    holding = _holding(target)
    if not holding and Releases(Store(target)).current() is None:
        console.write(f"{environment} has nothing to destroy: its state is empty.")
        return
    for line in holding:
        console.write(f"  {line}")
    if not yes:
        confirm(f"All {len(holding)} are removed with everything else of {environment}", environment)
    outcome = _run_infrastructure("destroy", target, confirmed=environment, lock_wait=lock_wait)
    console.write(f"\n{environment} is destroyed ({outcome.seconds:.0f} s). What stays:")
    report = outcome.document(DestroyReport) if outcome.report else DestroyReport()  # none: it was gone meanwhile
    for line in _stays(target, report):
        console.write(f"  {line}")


def _run_infrastructure(
    name: str, environment: Environment, *, as_json: bool = False, **options: Any
) -> playbook.Outcome:
    State(PROJECT).make()
    options["environment"] = environment.name
    return playbook.run(
        name,
        {f"stackhand_{option}": value for option, value in options.items()},
        reporter=Reporter(sys.stderr if as_json else sys.stdout),
        lock=None,
        interrupted=lambda failure: (
            failure or Failure(f"Interrupted during {name}.", next="repeat the command", code=ExitCode.INTERRUPTED)
        ),
    )


def _holding(environment: Environment) -> list[str]:
    """Return what would be lost, a line each; going by the state alone, for no file may keep an environment alive."""
    account.check(environment)
    bucket.require(environment)
    terraform = Terraform(environment)
    terraform.version()
    terraform.init()
    resources = terraform.state().managed()
    lines = []
    for each in resources:
        if each.type in HOLDS_DATA:
            names = (each.values.get(key) for key in ("cluster_identifier", "identifier", "name", "bucket", "id"))
            lines.append(f"{HOLDS_DATA[each.type]}: {next(filter(None, names), each.address)}")
    return sorted(lines) or [each.address for each in resources][:10]


def _stays(environment: Environment, report: DestroyReport) -> list[str]:
    """Return what a destroyed environment leaves, and what becomes of it."""
    lines = [f"bucket {environment.bucket}, with the state's history and the list of releases"]
    if signing_key.path(environment).exists():
        lines.append(f"key {signing_key.alias(environment)}, which signs images that are built later ($1 a month)")
    again = f"./inv deploy -e {environment.name} --from-snapshot"
    lines += [f"snapshot {name}: {again} {name} starts from it" for name in report.snapshots]
    file = f"environments/{environment.name}.tfvars"
    lines += [
        f'cluster snapshot {name}: snapshot_identifiers = {{ {service} = "{name}" }} in {file} starts from it'
        for service, name in report.clusters.items()
    ]
    if report.snapshots:
        lines.append(f"snapshots cost storage until you delete them: ./inv cloud.snapshots -e {environment.name}")
    lines += secrets.left(environment, report.secrets)
    if report.key:
        lines.append(f"key {report.key}: kept, because a snapshot or given secret is encrypted with it ($1 a month)")
    return lines


def deploy(
    *,
    environment: str,
    yes: bool,
    json: bool,
    resume: bool,
    lock_wait: float,
    from_snapshot: str,
    replace_database: bool,
    skip_hooks: bool,
    **options: Any,
) -> None:
    """Release this checkout, or go on waiting for a release that was left rolling; the options are as in tasks.

    Raises:
        Failure: it is not deployed.
    """
    _require_together(environment, resume=resume, from_snapshot=from_snapshot, replace_database=replace_database)
    warning = f"This releases to {environment}"
    if replace_database:
        warning = f"{environment} is down until its database is restored from {from_snapshot}"
        options["allow_older"] = True  # than what runs: the database may be back at an earlier time
    if resume:
        _run_release("resume", environment, {"lock_wait": lock_wait}, "", json=json, skip_hooks=skip_hooks)
        return
    options |= {"lock_wait": lock_wait, "from_snapshot": from_snapshot, "replace_database": replace_database}
    _run_release("deploy", environment, options, "" if yes else warning, json=json, skip_hooks=skip_hooks)


def _require_together(environment: str, *, resume: bool, from_snapshot: str, replace_database: bool) -> None:
    """Refuse flags that mean nothing together, before anything is done."""
    if (resume and from_snapshot) or (replace_database and not from_snapshot):
        raise Failure(
            "A resumed release already has its database."
            if resume
            else "--replace-database needs a snapshot to create the new database from.",
            next=f"--from-snapshot NAME, without --resume; ./inv cloud.snapshots -e {environment} shows the names",
            code=ExitCode.USAGE,
        )


def rollback(
    *, environment: str, to: str, yes: bool, json: bool, lock_wait: float, allow_unsigned: bool, skip_hooks: bool
) -> None:
    """Bring an earlier release back.

    Raises:
        Failure: there is none, or it is not deployed.
    """
    warning = "" if yes else f"This brings {to or 'the last good release'} back to {environment}"
    options = {"to": to, "lock_wait": lock_wait, "allow_unsigned": allow_unsigned}
    _run_release("rollback", environment, options, warning, json=json, skip_hooks=skip_hooks)


def _run_release(
    name: str, environment: str, options: dict[str, Any], warning: str, *, json: bool, skip_hooks: bool
) -> None:
    """Run a playbook between the project's hooks, after the user has confirmed a warning, and show the release."""
    packages.CLOUD.ensure()
    lines = Lines() if json else None
    given = {"environment": environment, **options, **_timing()}
    try:
        around = hooks_of(name, given, skip=skip_hooks)
        if warning:
            confirm(warning, environment)
        with around.around() as facts:
            report = playbook.run(
                name,
                {f"stackhand_{option}": value for option, value in given.items()},
                reporter=lines or Reporter(sys.stdout),
                lock=None,
                interrupted=lambda failure: failure or _interrupted(environment),
            ).document(ReleaseReport)
            facts.learn(msgspec.to_builtins(report))
            if lines is not None:
                lines.event("release", **msgspec.to_builtins(report))
            else:
                show_release(report)
    except Failure as failure:
        if lines is None:
            raise
        lines.failure(failure)
        raise Exit(failure.code) from failure


def hooks_of(playbook: str, options: Mapping[str, Any], *, skip: bool = False, again: str = "") -> Hooks:
    """Return the hooks around deploy, resume or rollback, whose options are named without a prefix.

    What the user repeats without hooks is the verb, or else `again`.

    Raises:
        Failure: there is no such environment.
    """
    environment = environments.load(str(options["environment"]))
    verb = "rollback" if playbook == "rollback" else "deploy"
    facts = HookFacts(
        verb,
        environment.stack,
        environment=environment.name,
        tag=str(options.get("tag") or ""),
        to=str(options.get("to") or ""),
    )
    if playbook == "deploy":
        facts.commit = source.expected(facts.tag)
    again = again or f"./inv {verb} -e {environment.name} --skip-hooks"
    return Hooks("deploy", facts, again, skip=skip, resumed=playbook == "resume")


def _timing() -> dict[str, Any]:
    """Return how to wait, where STACKHAND_TIMING says so: poll=0.1,timeout=60 (the tests are in a hurry)."""
    pairs = [each.partition("=") for each in os.environ.get("STACKHAND_TIMING", "").split(",") if each]
    timing = {key.strip(): float(value) for key, _, value in pairs}
    return {"timing": timing} if timing else {}


def _interrupted(environment: str) -> Failure:
    """Return what to say when the playbook could not: from what the bucket knows of the release."""
    try:
        newest = next(Releases(Store(environments.load(environment))).newest_first(), None)
    except Failure as error:
        return Failure(
            "Interrupted; it is unknown whether a service was changed.",
            evidence=[error.what, *error.evidence],
            next=f"{remedy(error)}, then ./inv cloud.status -e {environment}",
            code=ExitCode.INTERRUPTED,
        )
    ordered = _ordered(newest) if newest and newest.open else []
    return Failure(
        f"Interrupted; ECS continues the rollout in {environment}." if ordered else "Interrupted.",
        evidence=ordered or ["no service was changed"],
        next=f"./inv deploy -e {environment} --resume to continue, ./inv rollback -e {environment} to roll back"
        if ordered
        else f"./inv deploy -e {environment}",
        code=ExitCode.STILL_ROLLING if ordered else ExitCode.INTERRUPTED,
    )


def _ordered(manifest: Manifest) -> list[str]:
    return [
        f"{name}: {short(each.task_definition)} updated at {each.ordered}"
        for name, each in manifest.services.items()
        if each.deployment
    ]
