"""An ECR of a moto server, with the repository of the api, and what is pushed to it and found in it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment
from stackhand.release.images import build, scan
from stackhand.release.target import Repository, ServiceTarget, Target
from tests import moto_server

REGION = "eu-west-1"
COMMIT = "4f3a" * 10
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


@pytest.fixture(scope="package")
def moto() -> Iterator[str]:
    """The address of a moto server of its own, for each test empties it."""
    with moto_server.serving() as address:
        yield address


@pytest.fixture
def environment(moto: str, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment whose ECR has the repository of the api."""
    post(f"{moto}/moto-api/reset", {})
    for key, value in {"AWS_ENDPOINT_URL": moto, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(key, value)
    found = Environment("staging", "shop", REGION, "123456789012")
    found.client("ecr").create_repository(repositoryName="shop/api", imageTagMutability="IMMUTABLE")
    place = {"LocationConstraint": REGION}
    found.client("s3").create_bucket(Bucket=found.bucket, CreateBucketConfiguration=place)
    return found


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


def post(url: str, document: Any) -> None:
    """Send moto what it is told beside AWS's own API."""
    body = json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    urllib.request.urlopen(request, timeout=10).close()


def ensure(environment: Environment, max_severity: scan.Severity = "any") -> dict[str, str]:
    """Have the images of the commit built and scanned, as a deploy does."""
    digests = build.ensure(environment, REPOSITORIES, COMMIT, architecture="X86_64", notify=lambda _: None)
    for name, repository in REPOSITORIES.items():
        scan.gate(environment, repository.name, digests[name], max_severity, lambda _: None)
    return digests
