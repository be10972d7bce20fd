"""The versions of secrets: the same on every machine that asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from stackhand.aws import session


class Ssm:
    """Tells the time of a change as botocore does: in the time zone of this machine."""

    def get_parameters(self, **_: Any) -> dict[str, Any]:
        changed = datetime.fromtimestamp(1_700_000_000.25).astimezone()
        return {"Parameters": [{"Name": "/shop/KEY", "Version": 1, "LastModifiedDate": changed}]}


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_the_time_zone_of_a_machine_changes_no_version(zone: pytest.MonkeyPatch) -> None:
    found = []
    for name in ("America/New_York", "Asia/Tokyo"):
        zone.setenv("TZ", name)
        time.tzset()
        found.append(session.parameter_versions(Ssm(), ["/shop/KEY"]))
    assert found[0] == found[1] == {"/shop/KEY": "1 of 2023-11-14 22:13:20.250000+00:00"}
