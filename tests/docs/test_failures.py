"""Every failure that docs/service.md says the service withstands has the test it names."""

from __future__ import annotations

import re

from stackhand import ROOT

FAILURES = 37


def test_each_failure_names_tests_that_are_there() -> None:
    rows = re.findall(r"^\| (\d+) \|[^|]*\| (.*) \|$", (ROOT / "docs" / "service.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, FAILURES + 1))
    code = "".join(path.read_text() for path in (ROOT / "tests" / "service").rglob("test_*.py"))
    named = [name for _, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert len(named) >= FAILURES
    assert [name for name in named if f"def test_{name}(" not in code] == []
