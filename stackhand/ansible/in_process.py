"""Run a playbook's tasks in Ansible's own process: the fork of a worker costs more than most local steps."""

from __future__ import annotations

from typing import Any

from ansible._internal import _task
from ansible.executor.task_executor import TaskExecutor
from ansible.executor.task_result import _RawTaskResult
from ansible.plugins import loader
from ansible.plugins.strategy import StrategyBase


def install() -> None:
    """Have tasks run where they would be queued.

    A strategy plugin would do the same, and Ansible 2.19 takes none any more without a warning.
    """
    StrategyBase._queue_task = run


def run(self: Any, host: Any, task: Any, task_vars: dict[str, Any], play_context: Any) -> None:
    """Run a task, and leave its result where that of a worker arrives."""
    known = {"host": host, "task": task, "task_vars": task_vars, "play_context": play_context}
    self._queued_task_cache[(host.name, task._uuid)] = known
    self._tqm.send_callback("v2_runner_on_start", host, task)
    running = task.copy(exclude_parent=True, exclude_tasks=True)  # its templates are filled in, as in a worker
    running._parent = task._parent
    plugins = loader.get_plugin_loader_namespace()
    with _task.TaskContext(running):
        returned = TaskExecutor(
            host, running, task_vars, play_context, self._loader, plugins, self._final_q, self._variable_manager
        ).run()
    with self._results_lock:
        self._results.append(
            _RawTaskResult(host=host, task=running, return_data=returned, task_fields=running.dump_attrs())
        )
    self._pending_results += 1
