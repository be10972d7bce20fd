"""What Ansible does, as events; a playbook without ./inv is shown as under it, and ends with the same code."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import action_loader
from ansible.utils.vars import load_extra_vars

from stackhand.ansible import events
from stackhand.ansible.action import Action, check_options
from stackhand.ansible.events import Reported, StepDone, StepFailed, TaskBegan
from stackhand.ansible.playbook import continue_watched
from stackhand.cli.failure import Failure, FailureDocument
from stackhand.cli.reporter import StepReport
from stackhand.project.hooks import SKIP, HookFacts, Hooks
from stackhand.system.roots import PROJECT

ACTIONS = Path(__file__).parent.parent / "action"

DOCUMENTATION = """
name: stackhand
type: stdout
short_description: One line per step, with its time
description:
  - Shows the C(step) of each result and its C(failure); at the end, a plan or a release in full.
  - Ends C(ansible-playbook) with the exit codes of docs/output.md.
options: {}
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Turns Ansible's events into ours."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "stackhand"

    def __init__(self) -> None:
        super().__init__()
        self._task = ""

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """A playbook begins."""
        if events.EVENTS not in os.environ:
            name = Path(playbook._file_name).stem
            dry = bool(context.CLIARGS.get("check"))
            continue_watched(_show, None if dry else _hooks(name, load_extra_vars(playbook._loader)))

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play begins: refuse options that none of its steps takes.

        Raises:
            SystemExit: there are some.
        """
        taken = [(each.prefix, each.Options) for each in _steps(play)]
        try:
            check_options(play.get_variable_manager().extra_vars, taken)
        except Failure as failure:
            events.emit(StepFailed(failure.document()))
            raise SystemExit(int(failure.code)) from failure

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's signature
        """A task begins."""
        self._task = task.get_name().partition(" : ")[2] or task.get_name()
        events.emit(TaskBegan(self._task))

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task is done."""
        self._done(result.result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed."""
        if not ignore_errors:
            self._failed(result.result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """This machine cannot be reached from itself."""
        self._failed(result.result)

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002 - Ansible's signature
        """The play is over."""
        gc.freeze()  # or Python would look through all that is loaded once more, as it ends: up to 0.3 s

    def _done(self, result: Mapping[str, Any]) -> None:
        if "step" in result:
            step = msgspec.json.decode(_encoded(result["step"]), type=StepReport)
            events.emit(StepDone(step, changed=bool(result.get("changed"))))
        if "report" in result:
            events.emit(Reported(msgspec.Raw(_encoded(result["report"]))))

    def _failed(self, result: Mapping[str, Any]) -> None:
        if "failure" in result:
            failure = msgspec.json.decode(_encoded(result["failure"]), type=FailureDocument)
        else:
            failure = Failure(
                f"The task {self._task!r} failed: {result.get('msg', 'without a message')}.",
                evidence=str(result.get("stderr") or "").splitlines()[-10:],
            ).document()
        events.emit(StepFailed(failure))


def _encoded(content: Any) -> bytes:
    """Return a part of a result as JSON, without Ansible's tags, which no other library knows."""
    return json.dumps(content).encode()


def _hooks(playbook: str, given: Mapping[str, Any]) -> Hooks | None:
    """Return the hooks around a playbook that somebody starts without `./inv`; None where it has none."""
    if playbook == "up":
        facts = HookFacts("up", PROJECT.name, engine=str(given.get("stack_engine", "auto")))
        return Hooks("up", facts, f"{SKIP}=1")
    if playbook not in {"deploy", "resume", "rollback"}:
        return None
    from stackhand.release import hooks

    options = {name.removeprefix("stackhand_"): value for name, value in given.items()}
    options.setdefault("to", os.environ.get("STACKHAND_RELEASE"))
    try:
        return hooks.of(playbook, options, again=f"{SKIP}=1")
    except (Failure, KeyError):  # no such environment, as its first step says
        return None


def _show(report: bytes) -> None:
    """Show a plan or a release; other playbooks have said everything by their steps."""
    keys = msgspec.json.decode(report, type=dict[str, msgspec.Raw]).keys()
    if {"plan", "release"} <= keys:  # a deploy that stopped half-way has the first alone
        from stackhand.release import plan

        plan.show_plan(msgspec.json.decode(report, type=plan.PlanReport))
    elif "verdict" in keys:
        from stackhand.release import verbs
        from stackhand.release.stages.verification import ReleaseReport

        verbs.show_release(msgspec.json.decode(report, type=ReleaseReport))


def _steps(play: Any) -> Iterator[type[Action]]:
    """Yield the actions of a play that are ours: of its tasks, and all of its roles."""
    names = {task.action for block in play.get_tasks() for task in (block if isinstance(block, list) else [block])}
    roles = [Path(role.get_role_path()).name for role in play.roles]
    names |= {path.stem for role in roles for path in ACTIONS.glob(f"{role}_*.py")}
    for name in sorted(names):
        step = action_loader.get(name, class_only=True)
        if isinstance(step, type) and issubclass(step, Action):
            yield step
