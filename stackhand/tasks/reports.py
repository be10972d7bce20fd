"""What people read of a playbook's report when it runs without `./inv`, as in a workflow: the same as with it."""

from __future__ import annotations

from typing import Any


def say(report: dict[str, Any]) -> None:
    """Show a plan or a release; other playbooks have said everything by their steps."""
    if {"plan", "release"} <= report.keys():  # a deploy that stopped half-way has the first alone
        from stackhand.release import plan

        plan.say_plan(report)
    elif "verdict" in report:
        from stackhand.release import verbs

        verbs.say_release(report)
