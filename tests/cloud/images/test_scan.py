"""What a scan finds stops a release, unless it is allowed; a scan that is not there is no clean one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release.images import scan
from tests.cloud.images.conftest import BUILT, COMMIT, REGION, ensure, post


@pytest.fixture
def exceptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of what is allowed for a time."""
    monkeypatch.setattr(scan, "PROJECT", tmp_path)
    return tmp_path / scan.FILE


def found(moto: str, *findings: tuple[str, str]) -> None:
    """Have the next scan find something."""
    result = {
        "repositoryName": "shop/api",
        "imageId": {"imageTag": COMMIT},
        "imageScanStatus": {"status": "COMPLETE"},
        "imageScanFindings": {
            "findings": [
                {"name": name, "severity": severity, "attributes": [{"key": "package_name", "value": "zlib"}]}
                for name, severity in findings
            ]
        },
    }
    post(f"{moto}/moto-api/static/ecr/scan-finding-results", {"results": [result], "region": REGION})


def test_a_finding_worse_than_allowed_stops_the_release(moto: str, environment: Environment, pushed: str) -> None:
    found(moto, ("CVE-2026-1", "CRITICAL"), ("CVE-2026-2", "HIGH"), ("CVE-2026-3", "LOW"))
    with pytest.raises(Failure, match="has 1 findings worse than high") as failure:
        ensure(environment, "high")
    assert failure.value.code is ExitCode.PREFLIGHT
    assert failure.value.evidence == ("critical  CVE-2026-1  zlib",)


@pytest.mark.parametrize("max_severity", ["critical", "any"])
def test_what_is_allowed_by_severity_is_released(
    moto: str, environment: Environment, pushed: str, max_severity: scan.Severity
) -> None:
    found(moto, ("CVE-2026-1", "CRITICAL"))
    assert ensure(environment, max_severity) == {"api": pushed}


@pytest.mark.parametrize("days", [1, 0, -1])
def test_a_finding_is_allowed_until_its_day_and_no_longer(
    moto: str, environment: Environment, pushed: str, exceptions: Path, days: int
) -> None:
    found(moto, ("CVE-2026-1", "CRITICAL"))
    until = (datetime.now(UTC) + timedelta(days=days)).date()
    entry = f"- {{finding: CVE-2026-1, until: {until}, reason: not reachable from outside}}\n"
    exceptions.write_text(entry, encoding="utf-8")
    if days >= 0:
        assert ensure(environment, "high") == {"api": pushed}
        return
    with pytest.raises(Failure) as failure:
        ensure(environment, "high")
    assert failure.value.evidence == (
        f"critical  CVE-2026-1  zlib (was allowed until {until}: not reachable from outside)",
    )


@pytest.mark.parametrize(
    "entry", ["- {finding: CVE-2026-1}", "- {finding: CVE-2026-1, until: soon, reason: x}", "- CVE-2026-1"]
)
def test_an_exception_without_an_end_or_a_reason_is_refused(exceptions: Path, entry: str) -> None:
    exceptions.write_text(entry, encoding="utf-8")
    with pytest.raises(Failure, match="an incomplete entry"):
        scan.allowed()


class Scanner:
    """An ECR whose scan is not listed at first, and that refuses to start another."""

    def __init__(self, code: str) -> None:
        self.code, self.starts, self.asked = code, 0, 0
        self.exceptions = type("Exceptions", (), {"ScanNotFoundException": LookupError})

    def describe_image_scan_findings(self, **_: Any) -> dict[str, Any]:
        self.asked += 1
        if self.asked < 3:
            raise LookupError
        status = {"status": "ACTIVE" if self.asked > 3 else "PENDING"}
        vulnerable = {"vulnerabilityId": "CVE-2", "vulnerablePackages": [{"name": "zlib", "version": "1.3"}]}
        enhanced = {"severity": "HIGH", "packageVulnerabilityDetails": vulnerable}
        found = {"findings": [{"name": "CVE-1", "severity": "LOW"}], "enhancedFindings": [enhanced]}
        return {"imageScanStatus": status, "imageScanFindings": found}

    def start_image_scan(self, **_: Any) -> None:
        self.starts += 1
        raise ClientError({"Error": {"Code": self.code}}, "StartImageScan")


@pytest.mark.parametrize("code", ["LimitExceededException", "ValidationException", "AccessDeniedException"])
def test_a_scan_that_the_push_has_started_is_waited_for(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    scanner = Scanner(code)
    monkeypatch.setattr(Environment, "client", lambda _self, _name: scanner)
    monkeypatch.setattr(scan, "SCAN_POLL", 0)
    found = scan.findings(Environment("staging", "shop", REGION, "1"), "shop/api", BUILT, lambda _: None)
    assert [(each.name, each.severity, each.package) for each in found] == [
        ("CVE-1", "low", ""),
        ("CVE-2", "high", "zlib 1.3"),  # of enhanced scanning
    ]
    assert scanner.starts == 1


def test_an_image_that_ecr_cannot_scan_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = Scanner("UnsupportedImageTypeException")
    monkeypatch.setattr(Environment, "client", lambda _self, _name: scanner)
    with pytest.raises(Failure, match="unsupported image") as caught:
        scan.findings(Environment("staging", "shop", REGION, "1"), "shop/api", BUILT, lambda _: None)
    assert caught.value.evidence == (scan.UNSUPPORTED,)


def test_a_scan_that_cannot_be_made_is_no_clean_one(moto: str, environment: Environment, pushed: str) -> None:
    result = {
        "repositoryName": "shop/api",
        "imageId": {"imageTag": COMMIT},
        "imageScanStatus": {"status": "UNSUPPORTED_IMAGE"},
    }
    post(f"{moto}/moto-api/static/ecr/scan-finding-results", {"results": [result], "region": REGION})
    with pytest.raises(Failure, match=r"ECR has no scan of shop/api@sha256:.*: unsupported image"):
        ensure(environment, "high")
