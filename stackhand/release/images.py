"""The images of a release: asked of ECR first, else built from the commit, pushed, and known by digest from then on."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackhand import ROOT, inherited
from stackhand.engines.compose import api, docker
from stackhand.engines.compose.images import build_failed, certificates, steps, stream
from stackhand.environments import Environment
from stackhand.failure import ExitCode, Failure
from stackhand.infrastructure import description
from stackhand.model import Service
from stackhand.release import scan

PLATFORMS = {"X86_64": "linux/amd64", "ARM64": "linux/arm64"}
TARGET = "production"
SEEN_WITHIN = 20.0
TAIL = 8
THERE = re.compile(r"image tag .+ already exists in the .+ repository and cannot be overwritten", re.IGNORECASE)
"""What ECR says of a tag that does not move; docker's own words of each layer that it need not push are others."""

Say = Callable[[str], None]


def ensure(
    environment: Environment,
    release_output: Mapping[str, Any],
    commit: str,
    *,
    architecture: str,
    max_severity: str,
    say: Say,
) -> dict[str, str]:
    """Have the image of each service in ECR, as its tag COMMIT, and return their digests by the services' names.

    Args:
        environment: whose registry it is.
        release_output: Terraform's output `release`.
        commit: the tag: the commit, marked when it is not all that was built.
        architecture: X86_64 or ARM64.
        max_severity: the worst finding of ECR's scan that may be released; `any` asks for none.
        say: told what is being done.

    Raises:
        Failure: an image cannot be built or pushed, or its scan has worse findings.
    """
    built = repositories(release_output)
    digests = known(environment, release_output, commit)
    missing = [name for name in built if name not in digests]
    if missing:
        docker.reach()
    stack = description.stack_of(ROOT) if missing else None
    for name in missing:
        assert stack is not None  # noqa: S101 - as something is missing
        image = f"{built[name]['url']}:{commit}"
        _build(stack.service(name), image, commit, architecture, say)
        _push(environment, name, image, say)
        digests[name] = _digest(environment, built[name]["name"], commit, patience=SEEN_WITHIN)
        if not digests[name]:
            raise Failure(
                f"ECR does not know {image}, {SEEN_WITHIN:g} s after it was pushed.", next="repeat the command"
            )
    for name, repository in built.items():
        scan.gate(environment, repository["name"], digests[name], max_severity, say)
    return digests


def known(environment: Environment, release_output: Mapping[str, Any], commit: str) -> dict[str, str]:
    """Return the digests of those images that ECR has under the tag, by the services' names. Writes nothing."""
    found = {
        name: _digest(environment, repository["name"], commit)
        for name, repository in repositories(release_output).items()
    }
    return {name: digest for name, digest in found.items() if digest}


def repositories(release_output: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    """Return the repositories, `name` and `url`, of the services that are built here; others bring their image."""
    services = release_output["services"]
    return {name: service["repository"] for name, service in services.items() if service["repository"]}


def _digest(environment: Environment, repository: str, tag: str, patience: float = 0.0) -> str:
    """Return what ECR has under a tag; nothing when it has none, within so many seconds."""
    client = environment.client("ecr")
    deadline = time.monotonic() + patience
    while True:
        try:
            details = client.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"]
        except client.exceptions.ImageNotFoundException:
            details = []
        except client.exceptions.RepositoryNotFoundException as error:
            raise Failure(
                f"ECR has no repository {repository}.",
                next=f"./inv deploy -e {environment.name} makes it, or by hand: terraform apply",
                code=ExitCode.PREFLIGHT,
            ) from error
        if details or time.monotonic() >= deadline:
            return str(details[0]["imageDigest"]) if details else ""
        time.sleep(0.5)


def _build(service: Service, image: str, tag: str, architecture: str, say: Say) -> None:
    say(f"building {service.name}")
    words = command(service, image, tag, architecture, datetime.now(UTC))
    code, lines = stream(words, None, ROOT, steps(f"building {service.name}", say))
    if code != 0:
        raise build_failed(service, lines, then="deploy again")


def command(service: Service, image: str, tag: str, architecture: str, now: datetime) -> list[str]:
    """Return the command that builds the image a service is released as."""
    assert service.build is not None  # noqa: S101 - else Terraform has no repository for it
    created = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    arguments = {**service.build.args, "REVISION": tag, "CREATED": created}
    labels = {"revision": tag, "created": created, "source": _source()}
    words = ["docker", "build", "--progress", "plain", "--provenance=false", "--platform", PLATFORMS[architecture]]
    words += ["--file", str(Path(service.build.context) / service.build.dockerfile), "--tag", image]
    words += [f"--build-arg={key}={value}" for key, value in arguments.items()]
    words += [f"--label=org.opencontainers.image.{key}={value}" for key, value in labels.items() if value]
    words += [f"--secret=id=ca,src={certificates() or os.devnull}"]
    if re.search(rf"^FROM .* AS {TARGET}$", _dockerfile(service), re.MULTILINE | re.IGNORECASE):
        words += ["--target", TARGET]
    return [*words, service.build.context]


def _dockerfile(service: Service) -> str:
    assert service.build is not None  # noqa: S101 - see command
    try:
        return (ROOT / service.build.context / service.build.dockerfile).read_text(encoding="utf-8")
    except OSError:
        return ""


def _source() -> str:
    """Return where the sources are, as far as the runner of a workflow says so."""
    server, repository = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    return f"{server}/{repository}" if server and repository else ""


def _push(environment: Environment, name: str, image: str, say: Say) -> None:
    say(f"pushing {name}")
    with _logged_in(environment, image.partition("/")[0]) as folder:
        settings_of_docker = inherited.environment("docker", DOCKER_CONFIG=folder)
        code, lines = stream(["docker", "push", image], settings_of_docker, None, lambda _: None)
    # Somebody else may have pushed the same commit meanwhile; ECR's tags do not move, and its digest is asked next.
    if code != 0 and not any(THERE.search(line) for line in lines):
        raise Failure(
            f"{image} could not be pushed.",
            evidence=lines[-TAIL:],
            next="mend that, and deploy again: what is built stays in the builder's cache",
        )


@contextmanager
def _logged_in(environment: Environment, registry: str) -> Iterator[str]:
    """Give a folder of settings for docker that has the registry's password of an hour, and is gone afterwards.

    The user's own settings stay as they are, and no password stands in a command line.
    """
    token = environment.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    context = api.configuration().get("currentContext")
    found = {"auths": {registry: {"auth": token}}, **({"currentContext": context} if context else {})}
    with tempfile.TemporaryDirectory(prefix="stackhand-") as folder:
        theirs = api.folder()
        for each in ("contexts", "cli-plugins"):
            if theirs and (theirs / each).exists():
                (Path(folder) / each).symlink_to(theirs / each)
        path = Path(folder) / "config.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(found), encoding="utf-8")
        yield folder
