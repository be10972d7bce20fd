"""The images of a release: asked of ECR first, else built from the commit, pushed, and known by digest from then on."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stackhand.aws.errors import code_of
from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import api, docker
from stackhand.containers.images import stream
from stackhand.infrastructure.store import Store
from stackhand.project import inherited
from stackhand.project.environments import Environment
from stackhand.release import attesting, building, pins, scan
from stackhand.release.built import Record
from stackhand.release.source import COMMIT, Source, clean
from stackhand.release.target import Service, Target

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
    commits = commits_of(environment, [each["name"] for each in built.values()], name)
    if commits and commit not in commits:
        raise taken(name, max(commits) or "unknown images", commit)


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


MISSING = frozenset({"ImageNotFoundException", "RepositoryNotFoundException"})


def digest_of(environment: Environment, service: Service, commit: str) -> str:
    """Return the digest of a commit's image; nothing when ECR does not have it, or nobody builds it."""
    if service.repository is None:
        return ""
    return str(image(environment, service.repository.name, commit).get("imageDigest", ""))


def image(environment: Environment, repository: str, tag: str) -> dict[str, Any]:
    """Return what ECR tells of a tag's image; nothing when it has none, whether it says so or has an empty list."""
    try:
        found = environment.client("ecr").describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    except Exception as error:
        if code_of(error) in MISSING:
            return {}
        raise
    return dict(next(iter(found.get("imageDetails") or []), {}))


def commits_of(environment: Environment, repositories: Iterable[str], name: str) -> set[str]:
    """Return the commits that the images of a name were built from, empty ones for what nobody knows.

    A deploy gives the image of a commit its name as a second tag, so ECR itself tells.
    """
    images = [each for each in (image(environment, repository, name) for repository in repositories) if each]
    tags = [{tag for tag in each.get("imageTags") or [] if COMMIT.fullmatch(tag)} for each in images]
    shared = set.intersection(*tags) if tags else set()
    return shared or {"" for _ in images}


def settle(environment: Environment, target: Target | None, source: Source, *, unknown: bool) -> Source:
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
        names = [service.repository.name for service in built.values() if service.repository]
        source = _named(source, commits_of(environment, names, source.name), unknown=unknown)
    if not source.here:
        _require(environment, built, source)
    return source


def _require(environment: Environment, built: Mapping[str, Service], source: Source) -> None:
    """Refuse what is not checked out, unless all its images are there."""
    tag = source.name or source.commit
    missing = [name for name, service in built.items() if not digest_of(environment, service, tag)]
    if missing or not built:
        raise Failure(
            f"{tag[:12]} is not what is checked out here, and ECR has no images of it.",
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
            f"ECR has images called {source.name}, and nobody knows which commit they are of.",
            evidence=["./inv deploy did not push them, or did so before it kept the commit of a name"],
            next="another --tag for what is checked out; or --allow-older, to release these images as they are",
            code=ExitCode.PREFLIGHT,
        )
    return Source(source.name, source.name, here=False)


def taken(name: str, commit: str, wanted: str) -> Failure:
    """Return the refusal of a name that belongs to another commit."""
    return Failure(
        f"{name} is the name of {commit[:12]} already, and this is {wanted[:12]}.",
        evidence=["a tag in ECR does not move: a deploy would bring the earlier code back"],
        next=f"another --tag, or none; --tag {commit[:12]} releases the earlier code again"
        if commit == clean(commit)
        else "another --tag, or none",
        code=ExitCode.PREFLIGHT,
    )


def _elsewhere(source: Source) -> str:
    """Return how to have what is not here."""
    if COMMIT.fullmatch(source.commit):
        return f"git checkout {clean(source.commit)[:12]}, and deploy that"
    return "deploy from a clone of the repository, without --tag"
