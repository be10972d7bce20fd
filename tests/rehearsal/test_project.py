"""An application with a repository of its own is released from it: its images, its migrations, its worker."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stackhand.system import roots
from tests.engines import use
from tests.projects.application import ME, application
from tests.rehearsal.cloud import PACE, TERRAFORM

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = ["done", "done", "done", "done", "done", "rolled back", "done", "no leftovers"]
NIGHTLY = """  nightly:
    build: .
    command: [node, -e, "console.log('three orders')"]
    x-aws: {schedule: rate(1 day)}
"""


def test_an_application_is_released_twice_and_a_bad_release_of_it_is_rolled_back(tmp_path: Path) -> None:
    with use("compose"), application("express") as express:
        express.stackhand("init", "--yes")
        overlay = express.root / "compose.stackhand.yaml"
        overlay.write_text(overlay.read_text(encoding="utf-8").replace("services:\n", f"services:\n{NIGHTLY}", 1))
        express.git("add", "--all")
        express.git(*ME, "commit", "--quiet", "--message", "Adopt Stackhand")
        variables = {roots.VARIABLE: str(express.root), "STACKHAND_TERRAFORM": str(TERRAFORM)}
        variables |= {"STACKHAND_PACE": f"{PACE},stay=4", "STACKHAND_TERRAFORM_REPLAY": str(tmp_path)}
        said = express.run("stackhand", "rehearse", timeout=800, **variables).out
        assert express.changes() == []
    table = said[said.index("step  ") :]
    assert re.findall(r"^\S.*?  +(\S.*?)  +\d+\.\d$", table, re.M)[1:] == STEPS
    assert len(re.findall(r"migrated .* web: exit code 0", said)) == 3
    assert len(re.findall(r"rolled .* web, worker on ", said)) == 2
    assert "web failed; " in said
    assert "nightly: exit code 0" in said
