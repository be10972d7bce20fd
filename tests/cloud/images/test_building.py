"""Images are built as the Compose file and images.lock say, listed meanwhile, and pushed with a login of their own."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment
from stackhand.project.stack import loading
from stackhand.project.stack.model import Build, Service
from stackhand.release.images import build, provenance, sbom
from stackhand.release.target import Repository
from tests.checkout import ROOT
from tests.cloud.images.conftest import BUILT, COMMIT, MANIFEST

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.fixture
def two(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Repository]:
    """The repositories of two services that are built by nobody but the test."""
    environment.client("ecr").create_repository(repositoryName="shop/web", imageTagMutability="IMMUTABLE")
    monkeypatch.setattr(build.docker, "reach", lambda: None)
    monkeypatch.setattr(provenance.docker, "run", lambda *_: subprocess.CompletedProcess([], 0, f"{BUILT}\n", ""))
    monkeypatch.setattr(provenance, "CHECKSUMS", tmp_path / "built" / "subjects.txt")
    return {name: Repository(f"shop/{name}", f"localhost:1/shop/{name}") for name in ("api", "web")}


def test_an_image_is_listed_while_the_next_one_is_built_and_pushed_once_that_is_recorded(
    environment: Environment, two: dict[str, Repository], monkeypatch: pytest.MonkeyPatch
) -> None:
    next_is_built = threading.Event()

    def builds(*_: Any) -> Iterator[str]:
        yield "api"
        next_is_built.set()
        yield "web"

    def listed(_image: str, name: str, *_: Any) -> dict[str, Any]:
        assert next_is_built.wait(10)
        return {"components": [name]}

    def pushed(_environment: Environment, name: str, *_: Any) -> None:
        assert name in provenance.bills(Store(environment), COMMIT)
        content = json.dumps(MANIFEST | {"config": {"digest": BUILT, "size": 1, "mediaType": "config"}})
        environment.client("ecr").put_image(repositoryName=f"shop/{name}", imageManifest=content, imageTag=COMMIT)

    monkeypatch.setattr(build, "build", builds)
    monkeypatch.setattr(sbom, "bill_of_materials", listed)
    monkeypatch.setattr(build, "_push", pushed)
    digests = build.ensure(environment, two, COMMIT, architecture="X86_64", notify=lambda _: None)
    assert list(digests) == ["api", "web"]


def test_a_listing_is_given_up_when_the_next_build_fails(
    environment: Environment, two: dict[str, Repository], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def builds(*_: Any) -> Iterator[str]:
        yield "api"
        assert begun.wait(10)
        raise Failure("The image of web could not be built.")

    def listed(*args: Any) -> dict[str, Any]:
        begun.set()
        if args[-1].wait(10):
            ended.set()
        return {}

    monkeypatch.setattr(build, "build", builds)
    monkeypatch.setattr(sbom, "bill_of_materials", listed)
    monkeypatch.setattr(build, "_push", lambda *_: pytest.fail("pushed"))
    with pytest.raises(Failure, match="web could not be built"):
        build.ensure(environment, two, COMMIT, architecture="X86_64", notify=lambda _: None)
    assert ended.is_set()


@pytest.mark.parametrize("line", ["python:3.13-alpine", "python sha256:" + "a" * 64, f"a:1 {BUILT}\na:1 {BUILT}"])
def test_a_pin_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / provenance.PINS).write_text(f"# why\n\n{line}\n", encoding="utf-8")
    with pytest.raises(Failure, match=r"images\.lock is not valid"):
        provenance.pins(tmp_path)


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


def _secrets() -> dict[str, str]:
    return {"POSTGRES_PASSWORD": "x", "DATABASE_PASSWORD": "x", "REDIS_PASSWORD": "x"}
