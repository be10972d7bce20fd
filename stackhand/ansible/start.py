"""`ansible-playbook` as `./inv` starts it: with the same result, in half of the time (docs/decisions/062-time.md)."""

from __future__ import annotations

import gc

gc.disable()  # until all is imported: nothing of it is garbage, and looking for some takes a quarter of the time

import hashlib  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from contextlib import suppress  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import IO, Any  # noqa: E402

from ansible.module_utils.common import yaml  # noqa: E402
from ansible.utils.collection_loader import _collection_finder as finder  # noqa: E402

from stackhand.ansible import process  # noqa: E402
from stackhand.project import ownership  # noqa: E402
from stackhand.system.roots import PROJECT  # noqa: E402

LOCAL = {"up", "down"}
"""What needs nothing that is encrypted."""
IN_PROCESS = LOCAL | process.CLOUD
"""What needs no workers, whose fork costs more than most local steps: they end by themselves when interrupted."""
STEPS = "stackhand.release.action"
"""What the steps of the playbooks for the cloud load."""
KEPT = PROJECT / ".stackhand" / "ansible" / "parsed"


def parsed(content: bytes, parse: Callable[[], Any], folder: Path = KEPT) -> Any:
    """Return what a text of Ansible's own package says, from the JSON that an earlier start has left.

    Args:
        content: the text; its digest names the file, so another version has another one.
        parse: reads it where there is no such file, and what it returns is JSON.
        folder: where they are kept; one that others can write to is not used.
    """
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not ownership.is_closed(folder):
        return parse()
    path = folder / f"{hashlib.sha256(content).hexdigest()}.json"
    with suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    value = parse()
    with suppress(OSError):
        ownership.write(path, json.dumps(value))
    return value


def _routes(original: Callable[..., Any], text: bytes | str, name: Any) -> Any:
    """Return the routes of a collection; those of ansible.builtin are 10,000 lines."""
    return parsed(text, partial(original, text, name)) if isinstance(text, bytes) else original(text, name)


def _definitions(original: Callable[..., Any], stream: IO[bytes]) -> Any:
    content = stream.read()
    return parsed(content, partial(original, content))


def _wanted(original: Callable[..., Iterable[Any]], *args: Any, class_only: bool = False, **options: Any) -> Any:
    """Return plugins; what would load all of a kind, before a play names its own, gets none."""
    return iter(()) if class_only else original(*args, **options)


def _import_ansible(*, vault: bool) -> Callable[[], None]:
    """Return the main function of ansible-playbook; without what its vault needs where nothing is encrypted."""
    if not vault:
        sys.modules["cryptography"] = None  # type: ignore[assignment] # as if it were not installed, which may be
    finder._meta_yml_to_dict = partial(_routes, finder._meta_yml_to_dict)
    original, yaml.yaml_load = yaml.yaml_load, partial(_definitions, yaml.yaml_load)
    import ansible.constants  # noqa: F401 - reads them as it is imported
    from ansible.config import manager

    yaml.yaml_load = manager.yaml_load = original  # what users write is Ansible's to read
    from ansible.cli import playbook
    from ansible.plugins import loader

    for each in (loader.become_loader, loader.callback_loader, loader.connection_loader, loader.shell_loader):
        each.all = partial(_wanted, each.all)
    if not vault:
        del sys.modules["cryptography"]
    return playbook.main  # type: ignore[no-any-return]


def run_in_process(self: Any, host: Any, task: Any, task_vars: dict[str, Any], play_context: Any) -> None:
    """Run a task in place of queueing it, and leave its result where that of a worker arrives.

    A strategy plugin would do the same, and Ansible 2.19 takes none any more without a warning.
    """
    from ansible._internal import _task
    from ansible.executor.task_executor import TaskExecutor
    from ansible.executor.task_result import _RawTaskResult
    from ansible.plugins import loader

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


def main() -> None:
    """Run ansible-playbook with this process's command line, or with that which comes once it has loaded."""
    ahead = sys.argv[1] == process.AHEAD
    name = sys.argv[3] if ahead else Path(sys.argv[1]).stem
    if name in process.LEASED:
        process.start_beside()
    run = _import_ansible(vault=name not in LOCAL)
    if name in IN_PROCESS:
        from ansible.plugins.strategy import StrategyBase

        StrategyBase._queue_task = run_in_process
    if ahead and name not in LOCAL:
        importlib.import_module(STEPS)
    gc.freeze()
    gc.enable()
    if ahead:
        process.await_playbook(int(sys.argv[2]))
    run()


if __name__ == "__main__":
    main()
