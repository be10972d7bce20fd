"""The verbs of a release: bootstrap, plan, deploy, rollback, destroy."""

from __future__ import annotations

import os
import sys
from typing import Any

from stackhand import ROOT
from stackhand.ansible import playbook
from stackhand.ansible.ndjson import Lines
from stackhand.aws.errors import remedy
from stackhand.cli import console, packages
from stackhand.cli.confirmation import confirm
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account, bucket, secrets
from stackhand.infrastructure.bucket import Store
from stackhand.infrastructure.plan import HOLDS_DATA
from stackhand.infrastructure.terraform import Terraform, managed
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.project.state import State
from stackhand.release import plan as release_plan
from stackhand.release.manifest import Manifest, Releases
from stackhand.release.target import short


def bootstrap(*, environment: str) -> None:
    """Make the bucket of an environment, or find it made."""
    found = environments.load(environment)
    outcome = _run_infrastructure("bootstrap", found)
    told = "is ready" if outcome.changed else "was ready already"
    console.say(f"\n{environment} {told} for its first plan: ./inv plan -e {environment}")


def plan(*, environment: str, json: bool, detailed_exitcode: bool, refresh: bool, lock_wait: float) -> None:
    """Say what a deploy would change.

    Args:
        environment: which.
        json: one document on stdout.
        detailed_exitcode: end with 2 when there are changes.
        refresh: compare with what is there, not only with the state.
        lock_wait: seconds to wait while somebody else has the state.
    """
    found = environments.load(environment)
    variables = {"infrastructure_refresh": refresh, "infrastructure_lock_wait": lock_wait}
    report = _run_infrastructure("plan", found, as_json=json, **variables).report
    if json:
        console.document(report)
    else:
        release_plan.say_plan(report)
    if detailed_exitcode and (report["plan"]["changed"] or report["release"]["changed"]):
        raise Failure("", code=ExitCode.USAGE)  # 2, as Terraform does


def destroy(*, environment: str, production: bool, yes: bool, lock_wait: float) -> None:
    """Remove an environment, but for its bucket, when its name is typed.

    Args:
        environment: which.
        production: that it is production is known.
        yes: do not ask for its name.
        lock_wait: seconds to wait while somebody else deploys, or has the state.
    """
    found = environments.load(environment)
    if environment == "production" and not production:
        raise Failure(
            "This is production.",
            evidence=["its images, logs and secrets would be gone, and its databases but for a last snapshot"],
            next="./inv destroy -e production --production, if that is meant",
            code=ExitCode.USAGE,
        )
    holding = _holding(found)
    if not holding and Releases(Store(found)).current() is None:
        console.say(f"{environment} has nothing to destroy: its state is empty.")
        return
    for line in holding:
        console.say(f"  {line}")
    if not yes:
        confirm(f"All {len(holding)} are removed with everything else of {environment}", environment)
    outcome = _run_infrastructure(
        "destroy", found, infrastructure_confirmed=environment, infrastructure_lock_wait=lock_wait
    )
    console.say(f"\n{environment} is gone ({outcome.seconds:.0f} s). What stays:")
    for line in _stays(found, outcome.report):
        console.say(f"  {line}")


def _run_infrastructure(
    name: str, environment: Environment, *, as_json: bool = False, **variables: Any
) -> playbook.Outcome:
    State(ROOT).make()
    return playbook.run(
        name,
        {"stackhand_environment": environment.name, **variables},
        stream=sys.stderr if as_json else sys.stdout,
        turn=None,
        interrupted=lambda told: (
            told or Failure(f"Interrupted during {name}.", next="repeat the command", code=ExitCode.INTERRUPTED)
        ),
    )


def _holding(environment: Environment) -> list[str]:
    """Return what would be lost, a line each; going by the state alone, for no file may keep an environment alive."""
    account.check(environment)
    bucket.require(environment)
    terraform = Terraform(environment)
    terraform.version()
    terraform.init()
    state = terraform.state()
    resources = managed(state)
    lines = []
    for each in resources:
        if each["type"] in HOLDS_DATA:
            name = each["values"].get("identifier") or each["values"].get("name") or each["values"].get("bucket")
            lines.append(f"{HOLDS_DATA[each['type']]}: {name or each['values'].get('id', each['address'])}")
    return sorted(lines) or [each["address"] for each in resources][:10]


def _stays(environment: Environment, report: dict[str, Any]) -> list[str]:
    """Return what a destroyed environment leaves, and what becomes of it."""
    lines = [f"bucket {environment.bucket}, with the state's history and the list of releases"]
    again = f"./inv deploy -e {environment.name} --from-snapshot"
    lines += [f"snapshot {name}: {again} {name} starts from it" for name in report.get("snapshots", [])]
    if report.get("snapshots"):
        lines.append(f"snapshots cost storage until you delete them: ./inv cloud.snapshots -e {environment.name}")
    lines += secrets.left(environment, report.get("secrets", {}))
    if report.get("key"):
        lines.append(
            f"key {report['key']}: without it a snapshot or a given secret cannot be read, so it was kept ($1 a month)"
        )
    return lines


def deploy(
    *,
    environment: str,
    tag: str,
    yes: bool,
    json: bool,
    dirty: bool,
    allow_older: bool,
    lock_wait: float,
    max_severity: str,
    resume: bool,
    from_snapshot: str,
    replace_database: bool,
) -> None:
    """Release this checkout, or go on waiting for a release that was left rolling.

    Args:
        environment: where.
        tag: a commit whose images are there, or another name for what is checked out.
        yes: do not ask.
        json: lines of JSON on stdout.
        dirty: let changes go along that are not committed.
        allow_older: let a commit be released that is older than what runs, or whose age nobody can tell.
        lock_wait: seconds to wait for the lease.
        max_severity: of what the scan of an image finds.
        resume: no new release.
        from_snapshot: what the database starts from.
        replace_database: also where there is one already.

    Raises:
        Failure: it is not deployed.
    """
    _require_together(environment, resume=resume, from_snapshot=from_snapshot, replace_database=replace_database)
    variables: dict[str, Any] = {"stackhand_environment": environment, "preflight_lock_wait": lock_wait}
    if not resume:
        variables |= {
            "preflight_tag": tag,
            "preflight_dirty": dirty,
            "preflight_allow_older": allow_older or replace_database,  # which may be back at an earlier time
            "images_max_severity": max_severity,
            "infrastructure_from_snapshot": from_snapshot,
            "infrastructure_replace_database": replace_database,
        }
    if replace_database and not yes:
        confirm(f"{environment} is down until its database is back, as it was in {from_snapshot}", environment)
    question = "" if yes or resume or replace_database else f"This releases to {environment}."
    _run_release("resume" if resume else "deploy", environment, variables, question, json=json)


def _require_together(environment: str, *, resume: bool, from_snapshot: str, replace_database: bool) -> None:
    """Refuse flags that mean nothing together, before anything is done."""
    if (resume and from_snapshot) or (replace_database and not from_snapshot):
        raise Failure(
            "A release that is resumed has its database already."
            if resume
            else "--replace-database needs the snapshot that the new database starts from.",
            next=f"--from-snapshot NAME, without --resume; ./inv cloud.snapshots -e {environment} shows the names",
            code=ExitCode.USAGE,
        )


def rollback(*, environment: str, to: str, yes: bool, json: bool, lock_wait: float) -> None:
    """Bring an earlier release back.

    Raises:
        Failure: there is none, or it is not deployed.
    """
    question = "" if yes else f"This brings {to or 'the last good release'} back to {environment}."
    variables = {"stackhand_environment": environment, "preflight_to": to, "preflight_lock_wait": lock_wait}
    _run_release("rollback", environment, variables, question, json=json)


def _ask(warning: str, name: str) -> None:
    """Ask who sits at a terminal; in CI the command itself was the decision."""
    if not warning or os.environ.get("CI") or not sys.stdin.isatty():
        return
    console.say(warning)
    if input(f"Go on? Type {name}: ").strip() != name:
        raise Failure("Nothing was done: the name was not typed.")


def _run_release(name: str, environment: str, variables: dict[str, Any], question: str, *, json: bool) -> None:
    packages.CLOUD.ensure()
    lines = Lines() if json else None
    try:
        environments.load(environment)
        _ask(question, environment)
        report = playbook.run(
            name,
            {**variables, **_pace()},
            stream=sys.stdout,
            turn=None,
            reporter=lines,
            interrupted=lambda failure: failure or _interrupted(environment),
        ).report
    except Failure as failure:
        if lines is None:
            raise
        lines.failure(failure)
        raise Failure("", code=failure.code) from failure
    if lines is not None:
        lines.event("release", **report)
    else:
        say_release(report)


def _pace() -> dict[str, Any]:
    """Return how to wait, where STACKHAND_PACE says so: poll=0.1,timeout=60 (the tests are in a hurry)."""
    pairs = [each.partition("=") for each in os.environ.get("STACKHAND_PACE", "").split(",") if each]
    pace = {key.strip(): float(value) for key, _, value in pairs}
    return {"release_pace": pace, "verification_pace": pace} if pace else {}


def _interrupted(environment: str) -> Failure:
    """Return what to say when the playbook could not: from what the bucket knows of the release."""
    from stackhand.infrastructure.bucket import Store
    from stackhand.release.manifest import Releases

    try:
        newest = next(Releases(Store(environments.load(environment))).newest_first(), None)
    except Failure as error:
        return Failure(
            "Interrupted; whether a service was touched is not known.",
            evidence=[error.what, *error.evidence],
            next=f"{remedy(error)}, then ./inv cloud.status -e {environment}",
            code=ExitCode.INTERRUPTED,
        )
    ordered = _ordered(newest) if newest and newest.open else []
    return Failure(
        f"Interrupted; what was ordered goes on in {environment} without us." if ordered else "Interrupted.",
        evidence=ordered or ["no service was touched"],
        next=f"./inv deploy -e {environment} --resume to go on waiting, ./inv rollback -e {environment} to go back"
        if ordered
        else f"./inv deploy -e {environment}",
        code=ExitCode.STILL_ROLLING if ordered else ExitCode.INTERRUPTED,
    )


def _ordered(manifest: Manifest) -> list[str]:
    return [
        f"{name}: {short(each.task_definition)} ordered at {each.ordered}"
        for name, each in manifest.services.items()
        if each.deployment
    ]


def say_release(report: dict[str, Any]) -> None:
    """Show which release runs, and where it answers."""
    what = "runs already" if not report.get("changed") else "is back" if report["kind"] == "rollback" else "is deployed"
    console.say(f"\n{report['commit'][:12]} {what} in {report['environment']}, at {report['url']}")
    for name, each in report["services"].items():
        console.say(f"  {name}  {short(each['task_definition'])}  {each['image']}")
    for name, definition in report.get("extra", {}).items():
        console.say(f"  {name}  {short(definition)}  stays: {report['commit'][:12]} does not have it")
