"""The gate of ECR's scan: nothing with a finding worse than allowed is released.

A finding may be allowed for a time, with a reason, in `allowed-findings.yml`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import yaml

from stackhand import ROOT
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment

FILE = "allowed-findings.yml"
SEVERITIES = ("informational", "low", "medium", "high", "critical")
"""From harmless to worst; what ECR calls UNDEFINED or UNTRIAGED is taken for the worst."""
ANY = "any"
SCANNED_WITHIN = 300.0
SHOWN = 10


@dataclass(frozen=True)
class Finding:
    """What a scan found, such as CVE-2024-3094.

    Args:
        name: its number.
        severity: one of SEVERITIES.
        package: what has it, and in which version.
    """

    name: str
    severity: str
    package: str


@dataclass(frozen=True)
class Allowed:
    """A finding that may be released until a day, and why."""

    name: str
    until: date
    reason: str


def gate(environment: Environment, repository: str, digest: str, max_severity: str, say: Callable[[str], None]) -> None:
    """Refuse an image whose scan found something worse than allowed.

    Args:
        environment: whose registry it is.
        repository: its name.
        digest: of the image.
        max_severity: one of SEVERITIES, the worst that may be released; or `any`, which asks for no scan.
        say: told that the scan is waited for.

    Raises:
        Failure: there are such findings, or no result of a scan can be had.
    """
    if max_severity == ANY:
        return
    worst = SEVERITIES.index(max_severity)
    found = [each for each in findings(environment, repository, digest, say) if _rank(each.severity) > worst]
    exceptions, today = {each.name: each for each in allowed()}, datetime.now(UTC).date()
    bad = [each for each in found if each.name not in exceptions or exceptions[each.name].until < today]
    if bad:
        raise Failure(
            f"The image {repository}@{digest[:19]} has {len(bad)} findings worse than {max_severity}.",
            evidence=[_words(each, exceptions.get(each.name)) for each in bad[:SHOWN]],
            next=f"update what has them; or allow one until a day in {FILE}; or --max-severity {bad[0].severity}",
            code=ExitCode.PREFLIGHT,
        )


def allowed() -> list[Allowed]:
    """Return the findings that are allowed for a time.

    Raises:
        Failure: an entry lacks its number, its last day or its reason.
    """
    path = ROOT / FILE
    entries = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []
    found = []
    for entry in entries or []:
        match entry:
            case {"finding": str(name), "until": date() as until, "reason": str(reason)} if name and reason:
                found.append(Allowed(name, until, reason))
            case _:
                raise Failure(
                    f"{FILE} has an entry that is not complete.",
                    evidence=[f"found: {entry}", "wanted: {finding: CVE-2024-3094, until: 2030-01-31, reason: why}"],
                    next=f"complete it in {FILE}",
                    code=ExitCode.PREFLIGHT,
                )
    return found


def findings(environment: Environment, repository: str, digest: str, say: Callable[[str], None]) -> list[Finding]:
    """Return what ECR's scan of an image found; it is started when nobody did, and waited for.

    Raises:
        Failure: it cannot be made, or has no result in time.
    """
    client = environment.client("ecr")
    image = {"repositoryName": repository, "imageId": {"imageDigest": digest}}
    deadline = time.monotonic() + SCANNED_WITHIN
    status = "NONE"
    while time.monotonic() < deadline:
        try:
            answer = client.describe_image_scan_findings(**image, maxResults=1000)
        except client.exceptions.ScanNotFoundException:
            client.start_image_scan(**image)
            continue
        status = str(answer["imageScanStatus"]["status"])
        if status in {"COMPLETE", "ACTIVE"}:
            return list(_read(client, image, answer))
        if status not in {"IN_PROGRESS", "PENDING"}:
            break
        say(f"waiting for the scan of {repository}")
        time.sleep(2)
    raise Failure(
        f"ECR has no scan of {repository}@{digest[:19]}: {status.lower().replace('_', ' ')}.",
        next=f"look into it in ECR, or release without it: --max-severity {ANY}",
        code=ExitCode.PREFLIGHT,
    )


def _read(client: Any, image: dict[str, Any], answer: dict[str, Any]) -> Iterator[Finding]:
    while True:
        result = answer.get("imageScanFindings", {})
        for each in result.get("findings", []):
            attributes = {pair["key"]: pair.get("value", "") for pair in each.get("attributes", [])}
            package = f"{attributes.get('package_name', '')} {attributes.get('package_version', '')}".strip()
            yield Finding(each["name"], each["severity"].lower(), package)
        for each in result.get("enhancedFindings", []):
            details = each.get("packageVulnerabilityDetails", {})
            packages = [f"{found['name']} {found['version']}" for found in details.get("vulnerablePackages", [])]
            yield Finding(
                details.get("vulnerabilityId", each.get("title", "")), each["severity"].lower(), ", ".join(packages)
            )
        if not answer.get("nextToken"):
            return
        answer = client.describe_image_scan_findings(**image, maxResults=1000, nextToken=answer["nextToken"])


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _words(finding: Finding, exception: Allowed | None) -> str:
    over = f" (was allowed until {exception.until}: {exception.reason})" if exception else ""
    return f"{finding.severity}  {finding.name}  {finding.package}{over}"
