"""The images of a release: asked of ECR first, else built from the commit, pushed, and known by digest from then on."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import api, docker
from stackhand.containers.images import stream
from stackhand.infrastructure.store import Store
from stackhand.project import inherited
from stackhand.project.environments import Environment
from stackhand.release import attesting, building, pins, registry, scan
from stackhand.release.built import Record

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
    name: str = "",
    architecture: str,
    max_severity: str,
    say: Say,
) -> dict[str, str]:
    """Have the image of each service in ECR, as its tag COMMIT, and return their digests by the services' names.

    Args:
        environment: whose registry it is.
        release_output: Terraform's output `release`.
        commit: the tag: the commit, marked when it is not all that was built.
        name: another tag that they get.
        architecture: X86_64 or ARM64.
        max_severity: the worst finding of ECR's scan that may be released; `any` asks for none.
        say: told what is being done.

    Raises:
        Failure: an image cannot be built or pushed, is not what was built, or its scan has worse findings.
    """
    built = repositories(release_output)
    digests = known(environment, release_output, commit)
    if name and name != commit:
        _require_free(environment, built, name, commit)
    record = Record(Store(environment), commit)
    if missing := {each: built[each]["url"] for each in built if each not in digests}:
        docker.reach()
        pinned = {} if environment.emulated else pins.read()  # a rehearsal has the images of this machine
        for service in building.build(missing, commit, architecture, say, pinned):
            say(f"listing the packages of {service}")
            record.note(service, f"{missing[service]}:{commit}")
            _push(environment, service, f"{missing[service]}:{commit}", say)
    for each, url in missing.items():
        digests[each] = _digest(environment, built[each]["name"], commit, patience=SEEN_WITHIN)
        if not digests[each]:
            raise Failure(
                f"ECR does not know {url}:{commit}, {SEEN_WITHIN:g} s after it was pushed.",
                next="repeat the command",
            )
    record.require({each: built[each]["name"] for each in built}, digests)
    attesting.write(
        {built[each]["name"]: digests[each] for each in missing},
        {built[each]["name"]: record.images[each].sbom for each in missing},
    )
    for each, repository in built.items():
        if name and name != commit:
            _name(environment, repository["name"], digests[each], name)
        scan.gate(environment, repository["name"], digests[each], max_severity, say)
    return digests


def _require_free(environment: Environment, built: Mapping[str, Mapping[str, str]], name: str, commit: str) -> None:
    """Refuse a name that belongs to another commit."""
    commits = registry.commits_of(environment, [each["name"] for each in built.values()], name)
    if commits and commit not in commits:
        raise registry.taken(name, max(commits) or "unknown images", commit)


def _name(environment: Environment, repository: str, digest: str, name: str) -> None:
    """Give an image a second tag."""
    client = environment.client("ecr")
    found = client.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])["images"]
    image = next(iter(found), None)
    if image is None:
        raise Failure(f"ECR does not have {repository}@{digest} any more.", next="repeat the command")
    words = {"imageManifest": image["imageManifest"], "imageTag": name}
    if image.get("imageManifestMediaType"):
        words["imageManifestMediaType"] = image["imageManifestMediaType"]
    try:
        client.put_image(repositoryName=repository, **words)
    except client.exceptions.ImageAlreadyExistsException:
        return
    except client.exceptions.ImageTagAlreadyExistsException as error:
        raise Failure(
            f"Another image of {repository} has got the name {name} meanwhile.",
            evidence=[str(error)],
            next="another --tag, or none",
            code=ExitCode.PREFLIGHT,
        ) from error


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


def _push(environment: Environment, name: str, image: str, say: Say) -> None:
    say(f"pushing {name}")
    with _logged_in(environment, image.partition("/")[0]) as folder:
        settings_of_docker = inherited.environment("docker", DOCKER_CONFIG=folder)
        code, lines = stream(["docker", "push", image], settings_of_docker, None, lambda _: None)
    # Somebody may have pushed under this commit meanwhile; ECR's tags do not move, and what it has is compared next.
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
    given = environment.client("ecr").get_authorization_token().get("authorizationData")
    if not given:
        raise Failure("ECR gave no password for its registry.", next="repeat the command")
    token = given[0]["authorizationToken"]
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
