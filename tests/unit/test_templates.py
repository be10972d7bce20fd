"""What an action returns is data to Ansible: AWS's answers, lines of logs and files of others come that way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from stackhand.ansible import process

ACTION = """
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        evil = self._task.args["evil"]
        return {"line": evil, "ansible_facts": {"found": {"deep": [evil]}}}
"""
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - answer: {evil: "{{ lookup('ansible.builtin.env', 'EVIL') }}"}
      register: answer
    - ansible.builtin.set_fact:
        seen: ["{{ answer.line }}", "{{ found.deep[0] }}", "{{ given.name }}"]
    - ansible.builtin.copy: {content: "{{ seen | to_json }}", dest: seen.json, mode: "0600"}
"""


def test_a_template_in_an_answer_is_never_evaluated(tmp_path: Path) -> None:
    evil = "{{ lookup('pipe', 'touch evaluated') }}"
    (tmp_path / "action_plugins").mkdir()
    (tmp_path / "action_plugins" / "answer.py").write_text(ACTION, encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    given = process.command("play", {"given": {"name": evil}})[-1]
    words = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "play.yml", "--extra-vars", given]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "EVIL": evil}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "seen.json").read_text(encoding="utf-8")) == [evil] * 3
    assert not (tmp_path / "evaluated").exists()
