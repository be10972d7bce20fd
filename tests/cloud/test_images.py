"""The images of a release: asked for first, built as said, scanned before they are released."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import signing_key
from stackhand.infrastructure.store import Store
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.project.stack import loading
from stackhand.project.stack.model import Build, Service
from stackhand.release.images import build, provenance, sbom, scan, signature
from stackhand.release.manifest import Manifest, ReleasedService, Releases
from stackhand.release.target import Repository, ServiceTarget, Target
from tests import moto_server
from tests.checkout import ROOT

REGION = "eu-west-1"
COMMIT = "4f3a" * 10
NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
BUILT, ANOTHER, BILL = (f"sha256:{sign * 64}" for sign in "be5")
PARTS = {"container": "c", "task_definition": {}, "log_group": "g", "log_stream_prefix": "p", "service": "s"}
SERVICES = {
    "api": ServiceTarget(**PARTS, repository=Repository("shop/api", "localhost:1/shop/api")),
    "db": ServiceTarget(**PARTS),  # which brings its image
}
REPOSITORIES = Target("shop", "staging", "eu-west-1", "1", "", "shop", "X86_64", SERVICES).repositories()
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "layers": [{"digest": f"sha256:{'1' * 64}", "size": 1, "mediaType": "layer"}],
}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of a moto server of its own, for each test empties it."""
    with moto_server.serving() as address:
        yield address


@pytest.fixture
def environment(moto: str, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment whose ECR has the repository of the api."""
    _post(f"{moto}/moto-api/reset", {})
    for key, value in {"AWS_ENDPOINT_URL": moto, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(key, value)
    found = Environment("staging", "shop", REGION, "123456789012")
    found.client("ecr").create_repository(repositoryName="shop/api", imageTagMutability="IMMUTABLE")
    place = {"LocationConstraint": REGION}
    found.client("s3").create_bucket(Bucket=found.bucket, CreateBucketConfiguration=place)
    return found


@pytest.fixture
def exceptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of what is allowed for a time."""
    monkeypatch.setattr(scan, "PROJECT", tmp_path)
    return tmp_path / scan.FILE


@pytest.fixture
def pushed(environment: Environment) -> str:
    """The digest of an image that is already in ECR."""
    record(environment, BUILT)
    return push(environment, BUILT)


def push(environment: Environment, image: str) -> str:
    """Put an image under the commit, and return its digest."""
    content = json.dumps(MANIFEST | {"config": {"digest": image, "size": 1, "mediaType": "config"}})
    answer = environment.client("ecr").put_image(repositoryName="shop/api", imageManifest=content, imageTag=COMMIT)
    return str(answer["image"]["imageId"]["imageDigest"])


def record(environment: Environment, image: str) -> None:
    """Record an image as a deploy does that builds it."""
    entry = {"id": image, "sbom": BILL, "by": "somebody", "at": "2026-11-24T08:00:00Z"}
    Store(environment).write(f"releases/images/{COMMIT}.json", {"commit": COMMIT, "images": {"api": entry}})


def _post(url: str, document: Any) -> None:
    body = json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    urllib.request.urlopen(request, timeout=10).close()


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
    _post(f"{moto}/moto-api/static/ecr/scan-finding-results", {"results": [result], "region": REGION})


def ensure(environment: Environment, max_severity: scan.Severity = "any") -> dict[str, str]:
    digests = build.ensure(environment, REPOSITORIES, COMMIT, architecture="X86_64", notify=lambda _: None)
    for name, repository in REPOSITORIES.items():
        scan.gate(environment, repository.name, digests[name], max_severity, lambda _: None)
    return digests


def test_what_ecr_has_is_neither_built_nor_pushed(
    environment: Environment, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # so there is no docker, either
    assert ensure(environment) == {"api": pushed}


def test_without_an_engine_what_ecr_has_not_cannot_be_built(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Failure, match="There is no docker command") as failure:
        ensure(environment)
    assert failure.value.code is ExitCode.PREFLIGHT


def test_an_image_that_was_pushed_under_the_commit_before_anybody_built_it_is_refused(environment: Environment) -> None:
    digest = push(environment, ANOTHER)
    with pytest.raises(Failure, match="without a build record") as failure:
        ensure(environment)
    assert failure.value.code is ExitCode.PREFLIGHT
    assert f"in ECR: shop/api@{digest}" in failure.value.evidence
    assert f"--image-ids imageDigest={digest}" in str(failure.value.next)


def test_an_image_that_was_pushed_in_the_place_of_the_built_one_is_refused(
    environment: Environment, pushed: str
) -> None:
    ids = [{"imageDigest": pushed}]
    environment.client("ecr").batch_delete_image(repositoryName="shop/api", imageIds=ids)
    push(environment, ANOTHER)
    with pytest.raises(
        Failure, match="image of api in ECR under 4f3a4f3a4f3a is not the one that was built"
    ) as failure:
        ensure(environment)
    assert f"built: {BUILT}, by somebody at 2026-11-24T08:00:00Z" in failure.value.evidence


@pytest.mark.parametrize("first", [BUILT, ANOTHER])
def test_only_what_was_built_here_is_signed_whoever_pushes_first(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(build.docker, "reach", lambda: None)
    monkeypatch.setattr(build, "build", lambda *_: iter(["api"]))
    monkeypatch.setattr(sbom, "bill_of_materials", lambda *_: {"components": []})
    said = subprocess.CompletedProcess([], 0, f"{BUILT}\n", "")
    monkeypatch.setattr(provenance.docker, "run", lambda *_: said)
    monkeypatch.setattr(build, "_push", lambda *_: push(environment, first))
    monkeypatch.setattr(provenance, "CHECKSUMS", tmp_path / "built" / "subjects.txt")
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    signing_key.make(environment)
    if first == ANOTHER:
        with pytest.raises(Failure, match="The image of api in ECR under 4f3a4f3a4f3a is not the one that was built"):
            ensure(environment)
        tags = environment.client("ecr").list_images(repositoryName="shop/api")["imageIds"]
        assert [each["imageTag"] for each in tags] == [COMMIT]
        return
    [digest] = ensure(environment).values()
    assert signature.require(environment, [signature.SignedImage("api", "localhost:1/shop/api", digest, COMMIT)]) == []
    bill = Store(environment).s3.get_object(Bucket=environment.bucket, Key=f"releases/images/{COMMIT}/api.cdx.json")
    kept = hashlib.sha256(bill["Body"].read()).hexdigest()
    assert provenance.bills(Store(environment), COMMIT) == {"api": f"sha256:{kept}"}
    lines = [f"{digest.removeprefix('sha256:')}  shop/api", f"{kept}  shop/api.cdx.json"]
    assert provenance.CHECKSUMS.read_text(encoding="utf-8").splitlines() == lines
    assert ensure(environment) == {"api": digest}
    assert not provenance.CHECKSUMS.exists()  # nothing was built here


def test_an_image_that_could_not_be_signed_is_not_built(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setattr(build.docker, "reach", lambda: None)
    signing_key.make(environment)
    environment.client("kms").delete_alias(AliasName=signing_key.alias(environment))
    with pytest.raises(Failure, match="The signing key of staging does not exist on AWS"):
        ensure(environment)


def test_an_image_that_was_released_before_there_were_records_is_still_good(environment: Environment) -> None:
    digest = push(environment, BUILT)
    part = ReleasedService("api:1", f"localhost:1/shop/api@{digest}")
    good = Manifest("20261124T080000", "staging", COMMIT, "somebody", "", services={"api": part}, verdict="deployed")
    Releases(Store(environment)).write(good)
    assert ensure(environment) == {"api": digest}


@pytest.mark.parametrize("line", ["python:3.13-alpine", "python sha256:" + "a" * 64, f"a:1 {BUILT}\na:1 {BUILT}"])
def test_a_pin_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / provenance.PINS).write_text(f"# why\n\n{line}\n", encoding="utf-8")
    with pytest.raises(Failure, match=r"images\.lock is not valid"):
        provenance.pins(tmp_path)


def test_a_missing_repository_is_said(environment: Environment) -> None:
    environment.client("ecr").delete_repository(repositoryName="shop/api")
    with pytest.raises(Failure, match="ECR has no repository shop/api"):
        ensure(environment)


def test_the_command_builds_the_production_image_of_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", __file__)
    monkeypatch.delenv("CA_BUNDLE", raising=False)
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/shop")
    service = next(each for each in loading.load(ROOT, _secrets()).services.values() if each.name == "api")
    pinned = {"python:3.13-alpine": BUILT}
    assert build.command(service, f"url:{COMMIT}", "ARM64", NOW, ROOT, pinned=pinned) == [
        *("docker", "build", "--progress", "plain", "--provenance=false", "--platform", "linux/arm64"),
        *("--file", "service/Dockerfile", "--tag", f"url:{COMMIT}"),
        f"--build-context=python:3.13-alpine=docker-image://python:3.13-alpine@{BUILT}",
        f"--build-arg=REVISION={COMMIT}",
        "--build-arg=CREATED=2026-11-24T08:00:00Z",
        f"--label=org.opencontainers.image.revision={COMMIT}",
        "--label=org.opencontainers.image.created=2026-11-24T08:00:00Z",
        "--label=org.opencontainers.image.source=https://github.example/acme/shop",
        f"--secret=id=ca,src={__file__}",
        *("--target", "production", "."),
    ]


def test_a_service_of_ones_own_is_built_with_its_arguments_and_its_last_stage(
    tmp_path: Path,
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch AS only\n", encoding="utf-8")
    wanted = Build(".", args={"FLAVOUR": "plain"})
    service = Service("own", None, wanted, [], {}, (), (), "no", False, False, None, None, None)
    words = build.command(service, f"url:{COMMIT}", "X86_64", NOW, tmp_path, pinned={})
    assert "--build-arg=FLAVOUR=plain" in words
    assert "--target" not in words


def test_the_password_of_the_registry_is_in_no_settings_but_those_of_the_push(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "docker"
    (theirs / "contexts").mkdir(parents=True)
    (theirs / "config.json").write_text('{"currentContext": "mine"}', encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(theirs))
    with build._logged_in(environment, "registry.example") as folder:
        kept = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        assert kept["currentContext"] == "mine"
        assert kept["auths"]["registry.example"]["auth"]
        assert (Path(folder) / "contexts").is_dir()
        assert (Path(folder) / "config.json").stat().st_mode & 0o077 == 0
    assert not Path(folder).exists()
    assert (theirs / "config.json").read_text(encoding="utf-8") == '{"currentContext": "mine"}'


TAKEN = (
    f"tag invalid: The image tag '{COMMIT}' already exists in the 'shop/api' repository and cannot be overwritten "
    "because the repository is immutable."
)


def test_a_push_that_fails_is_told_unless_ecr_says_that_the_image_is_there(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["5f70bf18a086: Layer already exists"]
    monkeypatch.setattr(build, "stream", lambda *_: (1, lines))
    lines.append("denied: User is not authorized to perform: ecr:PutImage")
    with pytest.raises(Failure, match="could not be pushed") as failure:
        build._push(environment, "api", f"localhost:1/shop/api:{COMMIT}", lambda _: None)
    assert failure.value.evidence == tuple(lines)
    lines[-1] = TAKEN
    build._push(environment, "api", f"localhost:1/shop/api:{COMMIT}", lambda _: None)


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
    _post(f"{moto}/moto-api/static/ecr/scan-finding-results", {"results": [result], "region": REGION})
    with pytest.raises(Failure, match=r"ECR has no scan of shop/api@sha256:.*: unsupported image"):
        ensure(environment, "high")


def _secrets() -> dict[str, str]:
    return {"POSTGRES_PASSWORD": "x", "DATABASE_PASSWORD": "x", "REDIS_PASSWORD": "x"}
