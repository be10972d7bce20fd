"""What `./inv` leaves out of Ansible's start, and that Ansible still has it in that place."""

from __future__ import annotations

import inspect
from pathlib import Path

import ansible
import pytest
import yaml
from ansible.cli import playbook
from ansible.config import manager
from ansible.executor import playbook_executor, task_queue_manager
from ansible.plugins import loader
from ansible.plugins.strategy import StrategyBase
from ansible.utils.collection_loader import _collection_finder as finder

from stackhand.ansible import start

OF_ANSIBLE = Path(ansible.__file__).parent / "config"


@pytest.mark.parametrize(
    ("name", "kind"), [("base.yml", yaml.CSafeLoader), ("ansible_builtin_runtime.yml", yaml.CBaseLoader)]
)
def test_json_says_the_same_as_a_file_of_ansible(name: str, kind: type[yaml.CBaseLoader], tmp_path: Path) -> None:
    content = (OF_ANSIBLE / name).read_bytes()
    wanted = yaml.load(content, Loader=kind)
    found = [start.parsed(content, lambda: wanted, tmp_path), start.parsed(content, lambda: None, tmp_path)]
    assert found == [wanted, wanted]


@pytest.mark.parametrize(("mode", "kept", "wanted"), [(0o755, "{damaged", 2), (0o777, "1", 2), (0o755, "1", 1)])
def test_json_is_taken_whole_and_from_a_closed_folder_only(mode: int, kept: str, wanted: int, tmp_path: Path) -> None:
    start.parsed(b"text", lambda: 0, tmp_path)
    (path,) = tmp_path.glob("*.json")
    path.write_text(kept)
    tmp_path.chmod(mode)
    assert start.parsed(b"text", lambda: 2, tmp_path) == wanted


def test_what_is_replaced_is_there_in_ansible() -> None:
    assert callable(finder._meta_yml_to_dict)
    assert callable(manager.yaml_load)
    names = [[*inspect.signature(each).parameters] for each in (StrategyBase._queue_task, start.run_in_process)]
    assert names[0] == names[1]
    assert playbook_executor.become_loader is loader.become_loader
    assert playbook_executor.connection_loader is loader.connection_loader
    assert playbook_executor.shell_loader is loader.shell_loader
    assert task_queue_manager.callback_loader is loader.callback_loader
    assert callable(playbook.main)
