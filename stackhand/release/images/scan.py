"""What ECR's scan of an image found, and whether the image may be released all the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

import yaml

from stackhand.aws.errors import CANNOT_TELL, code_of
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.system.roots import PROJECT

FILE = "allowed-findings.yml"
Severity = Literal["any", "informational", "low", "medium", "high", "critical"]
SEVERITIES = get_args(Severity)[1:]
"""From harmless to worst; what ECR calls UNDEFINED or UNTRIAGED is taken for the worst."""
ANY = "any"
SCANNED_WITHIN = 300.0
SCAN_POLL = 2.0
UNSUPPORTED_IMAGE = "UNSUPPORTED_IMAGE"
UNSUPPORTED = "ECR scans images of common Linux distributions: none that is built from scratch, or of another system"
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


def gate(
    environment: Environment, repository: str, digest: str, max_severity: Severity, notify: Callable[[str], None]
) -> None:
    """Refuse an image whose scan found something worse than allowed; with `any` for the worst, no scan is asked for.

    Raises:
        Failure: there are such findings, or no result of a scan can be had.
    """
    if max_severity == ANY:
        return
    worst = SEVERITIES.index(max_severity)
    severe = [each for each in findings(environment, repository, digest, notify) if _rank(each.severity) > worst]
    exceptions, today = {each.name: each for each in allowed()}, datetime.now(UTC).date()
    bad = [each for each in severe if each.name not in exceptions or exceptions[each.name].until < today]
    if bad:
        raise Failure(
            f"The image {repository}@{digest[:19]} has {len(bad)} findings worse than {max_severity}.",
            evidence=[_line(each, exceptions.get(each.name)) for each in bad[:SHOWN]],
            next=f"update the packages; or allow one until a date in {FILE}; or --max-severity {bad[0].severity}",
            code=ExitCode.PREFLIGHT,
        )


def allowed() -> list[Allowed]:
    """Return the findings that are allowed for a time.

    Raises:
        Failure: an entry lacks its number, its last day or its reason.
    """
    path = PROJECT / FILE
    entries = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []
    exceptions = []
    for entry in entries or []:
        match entry:
            case {"finding": str(name), "until": date() as until, "reason": str(reason)} if name and reason:
                exceptions.append(Allowed(name, until, reason))
            case _:
                raise Failure(
                    f"{FILE} has an incomplete entry.",
                    evidence=[f"found: {entry}", "expected: {finding: CVE-2024-3094, until: 2030-01-31, reason: why}"],
                    next=f"complete it in {FILE}",
                    code=ExitCode.PREFLIGHT,
                )
    return exceptions


def findings(environment: Environment, repository: str, digest: str, notify: Callable[[str], None]) -> list[Finding]:
    """Return what ECR's scan of an image found; it is started when nobody did, and waited for.

    Raises:
        Failure: it cannot be made, or has no result in time.
    """
    client = environment.client("ecr")
    image = {"repositoryName": repository, "imageId": {"imageDigest": digest}}
    deadline = time.monotonic() + SCANNED_WITHIN
    status, started = "NONE", False
    while time.monotonic() < deadline and status != UNSUPPORTED_IMAGE:
        try:
            answer = client.describe_image_scan_findings(**image, maxResults=1000)
            status = str(answer["imageScanStatus"]["status"])
        except client.exceptions.ScanNotFoundException:
            if not started:
                status, started = _start(client, image), True
                continue
        if status in {"COMPLETE", "ACTIVE"}:
            return list(_read(client, image, answer))
        if status not in {"IN_PROGRESS", "PENDING"}:
            break
        notify(f"waiting for the scan of {repository}")
        time.sleep(SCAN_POLL)
    raise Failure(
        f"ECR has no scan of {repository}@{digest[:19]}: {status.lower().replace('_', ' ')}.",
        evidence=[UNSUPPORTED] if status == UNSUPPORTED_IMAGE else [],
        next=f"check it in ECR, or release without a scan: --max-severity {ANY}",
        code=ExitCode.PREFLIGHT,
    )


def _start(client: Any, image: dict[str, Any]) -> str:
    """Start a scan, and return its status.

    ECR refuses when the push has started one that is not listed yet (one a day), and under enhanced scanning.
    """
    try:
        client.start_image_scan(**image)
    except Exception as error:
        if code_of(error) == "UnsupportedImageTypeException":
            return UNSUPPORTED_IMAGE
        if code_of(error) not in CANNOT_TELL | {"LimitExceededException", "ValidationException"}:
            raise
    return "PENDING"


def _read(client: Any, image: dict[str, Any], answer: dict[str, Any]) -> Iterator[Finding]:
    while True:
        result = answer.get("imageScanFindings", {})
        for each in result.get("findings", []):
            attributes = {pair["key"]: pair.get("value", "") for pair in each.get("attributes", [])}
            package = f"{attributes.get('package_name', '')} {attributes.get('package_version', '')}".strip()
            yield Finding(each["name"], each["severity"].lower(), package)
        for each in result.get("enhancedFindings", []):
            details = each.get("packageVulnerabilityDetails", {})
            packages = [
                f"{vulnerable['name']} {vulnerable['version']}" for vulnerable in details.get("vulnerablePackages", [])
            ]
            yield Finding(
                details.get("vulnerabilityId", each.get("title", "")), each["severity"].lower(), ", ".join(packages)
            )
        if not answer.get("nextToken"):
            return
        answer = client.describe_image_scan_findings(**image, maxResults=1000, nextToken=answer["nextToken"])


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _line(finding: Finding, exception: Allowed | None) -> str:
    over = f" (was allowed until {exception.until}: {exception.reason})" if exception else ""
    return f"{finding.severity}  {finding.name}  {finding.package}{over}"
