"""`./inv rehearse`: from nothing to a verified release and a rolled-back bad one, and back to nothing."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stackhand.cli import console
from stackhand.cli.failure import Failure
from stackhand.containers import docker
from stackhand.infrastructure.terraform import working_directory
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.project.environments import Environment
from stackhand.project.state import State
from stackhand.rehearsal import emulator, environment, scenario
from stackhand.rehearsal.clone import Clone
from stackhand.rehearsal.resources import Resources
from stackhand.rehearsal.scenario import Rehearsal, RehearsalOutput, Step
from stackhand.release.checkout import export
from stackhand.system import waiting
from stackhand.system.roots import PROJECT

FOLDER = PROJECT / ".stackhand" / "rehearsal"
LOGS = FOLDER / "logs"
CLONE = FOLDER / "checkout"
GOES_WITHIN = 10.0


def rehearse(*, keep: bool, restore: bool = False, verbose: bool = False) -> None:
    """Rehearse a deploy.

    Args:
        keep: leave the last good release running, and everything else to be looked at.
        restore: also destroy the environment, and bring it back with its data.
        verbose: show all output of the verbs, not only what they changed.

    Raises:
        Failure: a step ended otherwise than it should, or something is left.
    """
    docker.reach()
    with _alone():
        rehearsed, files = environment.prepare(FOLDER)
        working_directory.require_providers(Terraform(rehearsed))
        _clear()
        rehearsal = _begin(rehearsed, RehearsalOutput(FOLDER, verbose=verbose))
        failure: Failure | KeyboardInterrupt | None = None
        try:
            ec2 = rehearsal.aws.client("ec2")
            network = environment.make_network(ec2, rehearsed)
            rehearsal.environment = environment.write_network(network, files[environment.PATH])
            if network:
                named = rehearsed.variables["vpc_id"]
                console.write(f"existing network: one with {len(network) - 1} subnets in place of {named}")
            rehearsal.clone = Clone.make(CLONE, files)
            rehearsal.play()
            if restore:
                scenario.restore(rehearsal)
            if not keep:
                rehearsal.verb("destroy", "destroy", "--yes")
                environment.require_network(ec2, network)
        except (Failure, KeyboardInterrupt) as error:
            failure = error
        if not keep:
            failure = _end(rehearsal) or failure
        _show(rehearsal, keep=keep)
        if failure:
            raise failure


def stop() -> None:
    """End what `rehearse --keep` left running.

    Raises:
        Failure: something of it is left.
    """
    with _alone():
        if emulator.remembered(FOLDER) is None:
            console.write("There is no rehearsal.")
            return
        if left := _clear():
            raise _left(left)
    console.write("The rehearsal is stopped and left nothing behind.")


def _begin(rehearsed: Environment, output: RehearsalOutput) -> Rehearsal:
    output.clear()
    shutil.rmtree(LOGS, ignore_errors=True)
    console.write(f"full output: {FOLDER.relative_to(PROJECT)}/*.log and {LOGS.relative_to(PROJECT)}/")
    began = time.monotonic()
    aws = emulator.start(FOLDER, rehearsed.region)
    steps = [Step("emulator", f"answers at {aws.endpoint}", time.monotonic() - began)]
    return Rehearsal(aws, rehearsed, Clone(CLONE), Resources(aws), output, steps)


def _end(rehearsal: Rehearsal) -> Failure | None:
    began = time.monotonic()
    left = _clear(rehearsal.resources)
    rehearsal.steps.append(Step("teardown", f"{len(left)} left" if left else "no leftovers", time.monotonic() - began))
    return _left(left) if left else None


def _left(what: list[str]) -> Failure:
    remedy = "remove it (docker rm --force, docker network rm, docker volume rm), then ./inv rehearse --stop"
    return Failure("The rehearsal left something behind.", evidence=what, next=remedy)


def _clear(resources: Resources | None = None) -> list[str]:
    """End the last rehearsal of this checkout, and return in words what cannot be removed of it; its log stays."""
    if resources is None:
        aws = emulator.remembered(FOLDER)
        if aws is None:
            return []
        resources = Resources(aws)
    try:
        resources.look()
    finally:  # also where the container engine has ended: what it runs is removed by the next rehearsal
        resources.emulator.stop()
    resources.remove_images()
    waiting.until(lambda: not resources.left(), GOES_WITHIN, 0.2)
    left = resources.left()
    _keep_logs()
    for path in (CLONE, emulator.modules(FOLDER), *FOLDER.glob("database-snapshots-*")):
        shutil.rmtree(path, ignore_errors=True)
    if not left:
        emulator.forget(FOLDER)
    return left


def _keep_logs() -> None:
    """Keep what the verbs logged in the clone, which goes: Terraform's output, reports of releases."""
    try:
        written = CLONE / export.placed(PROJECT)[1] / ".stackhand" / "logs"
    except Failure:  # without a repository there is no clone
        return
    if written.is_dir():
        shutil.rmtree(LOGS, ignore_errors=True)
        shutil.copytree(written, LOGS)


def _show(rehearsal: Rehearsal, *, keep: bool) -> None:
    console.write("")
    rows = [(step.name, step.verdict, f"{step.seconds:.1f}") for step in rehearsal.steps]
    console.table(rows, ("step", "verdict", "seconds"), {})
    if keep:
        running = rehearsal.running
        console.write(
            f"\n{rehearsal.url} answers{f' as {running}' if running else ''}; ./inv rehearse --stop stops it."
        )


@contextmanager
def _alone() -> Iterator[None]:
    """Refuse to rehearse twice at once in one checkout.

    Raises:
        Failure: somebody else does.
    """
    State(PROJECT).make()
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as file:
        os.fchmod(file.fileno(), 0o600)  # whoever may read it could take it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("Another ./inv rehearse runs in this checkout.", next="wait for it or stop it") from None
        yield
