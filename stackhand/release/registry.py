"""What ECR has of a release: images by their commits and names, and what its scan found in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

import yaml

from stackhand.aws.errors import CANNOT_TELL, code_of
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release.source import COMMIT, Source, clean
from stackhand.release.target import Repository, ServiceTarget, Target
from stackhand.system.roots import PROJECT
from stackhand.system.waiting import polls


def require_free(environment: Environment, built: Mapping[str, Repository], name: str, commit: str) -> None:
    """Refuse a name that belongs to another commit."""
    commits = commits_of(environment, [each.name for each in built.values()], name)
    if commits and commit not in commits:
        raise taken(name, max(commits) or "unknown images", commit)


def give_name(environment: Environment, repository: str, digest: str, name: str) -> None:
    """Give an image a second tag."""
    client = environment.client("ecr")
    images = client.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])["images"]
    image = next(iter(images), None)
    if image is None:
        raise Failure(f"ECR no longer has {repository}@{digest}.", next="repeat the command")
    image_arguments = {"imageManifest": image["imageManifest"], "imageTag": name}
    if image.get("imageManifestMediaType"):
        image_arguments["imageManifestMediaType"] = image["imageManifestMediaType"]
    try:
        client.put_image(repositoryName=repository, **image_arguments)
    except client.exceptions.ImageAlreadyExistsException:
        return
    except client.exceptions.ImageTagAlreadyExistsException as error:
        raise Failure(
            f"Another image of {repository} was given the name {name} meanwhile.",
            evidence=[str(error)],
            next="use another --tag, or none",
            code=ExitCode.PREFLIGHT,
        ) from error


def known(environment: Environment, built: Mapping[str, Repository], commit: str) -> dict[str, str]:
    """Return the digests of those images that ECR has under the tag, by the services' names. Writes nothing."""
    digests = {name: digest_in(environment, each.name, commit) for name, each in built.items()}
    return {name: digest for name, digest in digests.items() if digest}


def digest_in(environment: Environment, repository: str, tag: str, timeout: float = 0.0) -> str:
    """Return what ECR has under a tag; nothing when it has none, within so many seconds."""
    client = environment.client("ecr")
    for _ in polls(timeout, 0.5):
        try:
            details = client.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"]
        except client.exceptions.ImageNotFoundException:
            details = []
        except client.exceptions.RepositoryNotFoundException as error:
            raise Failure(
                f"ECR has no repository {repository}.",
                next=f"./inv deploy -e {environment.name} creates it, or by hand: terraform apply",
                code=ExitCode.PREFLIGHT,
            ) from error
        if details:
            return str(details[0]["imageDigest"])
    return ""


MISSING = frozenset({"ImageNotFoundException", "RepositoryNotFoundException"})


def digest_of(environment: Environment, service: ServiceTarget, commit: str) -> str:
    """Return the digest of a commit's image; nothing when ECR does not have it, or nobody builds it."""
    if service.repository is None:
        return ""
    return str(image(environment, service.repository.name, commit).get("imageDigest", ""))


def image(environment: Environment, repository: str, tag: str) -> dict[str, Any]:
    """Return what ECR tells of a tag's image; nothing when it has none, whether it says so or has an empty list."""
    try:
        images = environment.client("ecr").describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    except Exception as error:
        if code_of(error) in MISSING:
            return {}
        raise
    return dict(next(iter(images.get("imageDetails") or []), {}))


def commits_of(environment: Environment, repositories: Iterable[str], name: str) -> set[str]:
    """Return the commits that the images of a name were built from, empty ones for what nobody knows.

    A deploy gives the image of a commit its name as a second tag, so ECR itself tells.
    """
    images = [each for each in (image(environment, repository, name) for repository in repositories) if each]
    tags = [{tag for tag in each.get("imageTags") or [] if COMMIT.fullmatch(tag)} for each in images]
    shared = set.intersection(*tags) if tags else set()
    return shared or {"" for _ in images}


def identify(environment: Environment, target: Target | None, source: Source, *, unknown: bool) -> Source:
    """Return what is to be released, once it is clear which commit the images of its name are.

    Args:
        environment: whose registry it is.
        target: of the newest good release; None before there is one.
        source: what was asked for.
        unknown: whether images may be released of which nobody knows the commit.

    Raises:
        Failure: the name belongs to another commit, or the images of a commit that is not here are missing.
    """
    built = target.built() if target else {}
    if source.name:
        names = [each.name for each in target.repositories().values()] if target else []
        source = _named(source, commits_of(environment, names, source.name), unknown=unknown)
    if not source.here:
        _require_present(environment, built, source)
    return source


def _require_present(environment: Environment, built: Mapping[str, ServiceTarget], source: Source) -> None:
    """Refuse what is not checked out, unless all its images are there."""
    tag = source.name or source.commit
    missing = [name for name, service in built.items() if not digest_of(environment, service, tag)]
    if missing or not built:
        raise Failure(
            f"{tag[:12]} is not checked out here, and ECR has no images of it.",
            evidence=[f"missing: {', '.join(missing) or 'all, for nothing was released yet'}"],
            next=_elsewhere(source),
            code=ExitCode.PREFLIGHT,
        )


def _named(source: Source, commits: set[str], *, unknown: bool) -> Source:
    """Return a release that has a name, with the commit that its images are of."""
    known = commits - {""}
    if not commits or source.commit in known:
        return source
    if known and not source.here:
        return Source(max(known), source.name, here=False)
    if known:
        raise taken(source.name, max(known), source.commit)
    if not unknown:
        raise Failure(
            f"ECR has images named {source.name} of an unknown commit.",
            evidence=["./inv deploy did not push them, or did so before it recorded the commit of a name"],
            next="use another --tag for the current commit; or --allow-older, to release these images unchanged",
            code=ExitCode.PREFLIGHT,
        )
    return Source(source.name, source.name, here=False)


def taken(name: str, commit: str, wanted: str) -> Failure:
    """Return the refusal of a name that belongs to another commit."""
    return Failure(
        f"{name} already names {commit[:12]}, but this is {wanted[:12]}.",
        evidence=["a tag in ECR does not move: a deploy would release the earlier code"],
        next=f"use another --tag, or none; --tag {commit[:12]} releases the earlier code again"
        if commit == clean(commit)
        else "use another --tag, or none",
        code=ExitCode.PREFLIGHT,
    )


def _elsewhere(source: Source) -> str:
    """Return how to have what is not here."""
    if COMMIT.fullmatch(source.commit):
        return f"git checkout {clean(source.commit)[:12]}, then deploy it"
    return "deploy from a clone of the repository, without --tag"


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
    """Refuse an image whose scan found something worse than allowed.

    Args:
        environment: whose registry it is.
        repository: its name.
        digest: of the image.
        max_severity: one of SEVERITIES, the worst that may be released; or `any`, which asks for no scan.
        notify: called while the scan is waited for.

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
