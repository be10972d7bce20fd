"""`./inv rehearse`: from nothing to a verified release and a rolled-back bad one, unattended."""

from __future__ import annotations

import json
import re

import pytest

from stackhand.rehearsal.environment import NAME as ENVIRONMENT
from tests.rehearsal.cloud import Cloud

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(900)]

LIVE = """
import json, sys
from stackhand.release import live
from stackhand.release.context import find

found = live.checks(live.Live(find(sys.argv[1]), polls=(0.0, 0.0)))
print(json.dumps({each.name: each.verdict for each in found}))
"""
"""What `./inv check -e NAME --live` asks, without half a minute for an alarm that the emulator does not deliver."""
STEPS = {
    "bootstrap": "done",
    "first release": "done",
    "same commit again": "done",
    "second release": "done",
    "bad release": "rolled back",
    "destroy": "done",
    "from its snapshot": "done",
    "back to it": "done",
}


def test_it_releases_twice_rolls_a_bad_one_back_and_says_where_the_good_one_answers(cloud: Cloud) -> None:
    told = "\n".join(cloud.told)
    table = told[told.index("step  ") :]
    assert dict(re.findall(r"^(\S.*?)  +(\S.*?)  +\d+\.\d$", table, re.M)).items() >= STEPS.items()
    assert "Creation complete" not in told
    assert len(cloud.told) < 60
    logs = cloud.clone.path.parent
    created = "".join(path.read_text(encoding="utf-8") for path in logs.rglob("*.log"))
    assert "aws_vpc.main" in created
    assert "aws_nat_gateway" not in created
    bad = (logs / "bad-release.log").read_text(encoding="utf-8")
    assert "this release fails on purpose" in bad
    assert "exit code 3" in bad
    assert "Traceback" not in (logs / "emulator.log").read_text(encoding="utf-8")
    assert "200 from /health/all, /healthz" in told
    assert f"{cloud.url} answers as {cloud.first}; ./inv rehearse --stop stops it." in told


def test_what_only_a_running_environment_shows_is_asked_of_this_one(cloud: Cloud) -> None:
    """The emulator has no autoscaling, no scans and no agent of ECS Exec, and writes and mails nothing by itself."""
    said = cloud.inv("-c", LIVE, ENVIRONMENT, program=(".venv/bin/python",))
    verdicts = json.loads(said.out.splitlines()[-1])
    by_verdict = {
        verdict: {name for name, each in verdicts.items() if each == verdict} for verdict in verdicts.values()
    }
    assert by_verdict["works"] == {
        *("targets of api", "targets of web", "backups of stackhand-rehearsal-postgres", "rotation of the key")
    }
    assert by_verdict["fails"] == {"recipient", "access logs"}
    assert by_verdict["unknown"] == {"scaling", "shell in api", "shell in web", "scans", "alarm", "events"}
