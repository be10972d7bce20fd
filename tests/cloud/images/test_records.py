"""Only what was built and recorded is released: what ECR has under the commit is compared with the build record."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import signing_key
from stackhand.infrastructure.store import Store
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.release.images import build, provenance, sbom, signature
from stackhand.release.manifest import Manifest, ReleasedService, Releases
from tests.cloud.images.conftest import ANOTHER, BUILT, COMMIT, ensure, push


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


def test_a_missing_repository_is_said(environment: Environment) -> None:
    environment.client("ecr").delete_repository(repositoryName="shop/api")
    with pytest.raises(Failure, match="ECR has no repository shop/api"):
        ensure(environment)
