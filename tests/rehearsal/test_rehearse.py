"""`./inv rehearse`: from nothing to a verified release and a rolled-back bad one, unattended."""

from __future__ import annotations

import re

import pytest

from tests.rehearsal.cloud import Cloud

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(900)]

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
    bad = (logs / "bad-release.log").read_text(encoding="utf-8")
    assert "this release fails on purpose" in bad
    assert "exit code 3" in bad
    assert "200 from /health/all, /healthz" in told
    assert f"{cloud.url} answers as {cloud.first}; ./inv rehearse --stop stops it." in told
