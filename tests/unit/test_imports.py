"""What a start loads: `./inv` and each playbook are started again and again, and everybody waits for that."""

from __future__ import annotations

import subprocess
import sys

from tests.checkout import ROOT


def loaded(script: str) -> set[str]:
    program = [sys.executable, "-c", f"import sys\n{script}\nprint(*sys.modules)"]
    return set(subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def test_a_verb_starts_without_asyncio_and_tls() -> None:
    names = loaded("import stackhand.tasks.program")
    assert "invoke.context" in names
    assert not names & {"asyncio", "ssl", "unittest", "unittest.mock", "rich", "ansible", "boto3"}


def test_a_playbook_starts_without_invoke() -> None:
    assert "invoke" not in loaded("import stackhand.ansible.playbook, stackhand.ansible.action")
