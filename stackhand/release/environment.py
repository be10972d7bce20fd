"""The verbs on the infrastructure of an environment: bootstrap, plan, destroy."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from stackhand import ROOT
from stackhand.ansible import playbook
from stackhand.cli import console
from stackhand.cli.confirmation import confirm
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account, actor, bucket, given
from stackhand.infrastructure.destructive import HOLDS_DATA
from stackhand.infrastructure.plan import SHOWN
from stackhand.infrastructure.program import Terraform, managed
from stackhand.infrastructure.store import Store
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.project.state import State
from stackhand.release import heartbeat, lease
from stackhand.release import plan as release_plan
from stackhand.release.manifest import Releases

HEADINGS = ("concern", *SHOWN)
SHOWN_ATTRIBUTES = 6


def bootstrap(*, environment: str) -> None:
    """Make the bucket of an environment, or find it made."""
    found = environments.load(environment)
    outcome = _run("bootstrap", found)
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
    report = _run("plan", found, as_json=json, **variables).report
    if json:
        console.document(report)
    else:
        say_plan(report)
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
    outcome = _run("destroy", found, infrastructure_confirmed=environment, infrastructure_lock_wait=lock_wait)
    console.say(f"\n{environment} is gone ({outcome.seconds:.0f} s). What stays:")
    for line in _stays(found, outcome.report):
        console.say(f"  {line}")


def _run(name: str, environment: Environment, *, as_json: bool = False, **variables: Any) -> playbook.Outcome:
    State(ROOT).make()
    given = {"stackhand_environment": environment.name, **variables}
    return playbook.run(
        name,
        given,
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
    lines += given.left(environment, report.get("secrets", {}))
    if report.get("key"):
        lines.append(
            f"key {report['key']}: without it a snapshot or a given secret cannot be read, so it was kept ($1 a month)"
        )
    return lines


def say_plan(report: dict[str, Any]) -> None:
    """Show what a deploy would change, in the environment and in the release."""
    _say_infrastructure(report)
    console.say("\n".join([report["probe"]["message"], *report["probe"]["notes"]]))
    console.say("\n".join(["", *release_plan.lines(report["release"])]))


def _say_infrastructure(report: dict[str, Any]) -> None:
    found = report["plan"]
    if not found["changed"]:
        console.say(f"\n{report['environment']} is as the files say.")
        return
    console.say("")
    console.table(report["table"], HEADINGS, {}, indent=2)
    for concern in found["concerns"]:
        for each in concern["resources"]:
            if each["action"] != "create":
                attributes = ", ".join(each["attributes"][:SHOWN_ATTRIBUTES])
                more = " ..." if len(each["attributes"]) > SHOWN_ATTRIBUTES else ""
                console.say(f"  {each['action']:<8} {each['address']}{': ' if attributes else ''}{attributes}{more}")
    forgotten = sum(each["action"] == "forget" for concern in found["concerns"] for each in concern["resources"])
    counted = {**{name: found[name] for name in SHOWN}, "forget": forgotten}
    numbers = (f"{number} to {name}" for name, number in counted.items() if number)
    console.say(f"\n{report['environment']}: {', '.join(numbers) or 'only outputs change'}; {report['cost']['words']}")


@contextmanager
def alone(environment: Environment, tell: Callable[[str], None], patience: float = 0.0) -> Iterator[None]:
    """Hold the lease of an environment that is being removed, after waiting for it so many seconds.

    Raises:
        Failure: somebody deploys to it.
    """
    request = {
        "environment": environment.name,
        "owner": actor.owner(),
        "commit": "nothing: it is being destroyed",
        "run": actor.run_url(),
        "patience": patience,
        "pid": os.getppid(),
    }
    try:
        held = heartbeat.start(request, tell, lambda: None)
    except Failure as failure:
        raise _busy(failure, environment.name) from failure
    try:
        yield
    finally:
        with suppress(Failure):  # then its keeper does, or it expires
            lease.give_back(Store(environment), held["token"])
        heartbeat.stop(held["keeper"])


def _busy(failure: Failure, environment: str) -> Failure:
    if failure.code is not ExitCode.LOCKED:
        return failure
    return Failure(
        f"Somebody is at work on {environment}, so nothing of it was removed.",
        evidence=failure.evidence,
        next=f"wait for them; if they are dead, ./inv cloud.unlock -e {environment}",
        code=ExitCode.LOCKED,
    )
