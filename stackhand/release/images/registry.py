"""What ECR has of a release: images by their commits, names and digests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from stackhand.aws.errors import CANNOT_TELL, code_of, message_of
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release.context import Context
from stackhand.release.images.source import COMMIT, Source, clean
from stackhand.release.target import Repository, ServiceTarget, Target
from stackhand.system.waiting import polls


def require_free(environment: Environment, built: Mapping[str, Repository], name: str, commit: str) -> None:
    """Refuse a name that belongs to another commit."""
    commits = commits_of(environment, [each.name for each in built.values()], name)
    if commits and commit not in commits:
        raise name_conflict(name, max(commits) or "unknown images", commit)


def give_name(environment: Environment, repository: str, digest: str, name: str) -> None:
    """Give an image a second tag."""
    client = environment.client("ecr")
    images = client.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])["images"]
    image = next(iter(images), None)
    if image is None:
        raise Failure(f"ECR no longer has {repository}@{digest}.", next="repeat the command")
    media_type = image.get("imageManifestMediaType")
    typed = {"imageManifestMediaType": media_type} if media_type else {}
    try:
        client.put_image(repositoryName=repository, imageManifest=image["imageManifest"], imageTag=name, **typed)
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

    The target is that of the newest good release; with `unknown`, nobody need know the commit of the images.

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
        raise name_conflict(source.name, max(known), source.commit)
    if not unknown:
        raise Failure(
            f"ECR has images named {source.name} of an unknown commit.",
            evidence=["./inv deploy did not push them, or did so before it recorded the commit of a name"],
            next="use another --tag for the current commit; or --allow-older, to release these images unchanged",
            code=ExitCode.PREFLIGHT,
        )
    return Source(source.name, source.name, here=False)


def name_conflict(name: str, commit: str, wanted: str) -> Failure:
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


ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^:@]+)"
    r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]+))?"
)


def lacks(context: Context, name: str, service: ServiceTarget, image: str) -> tuple[list[str], list[str]]:
    """Return what is wrong with the image of an earlier release, or why that is not known; one of them at most."""
    question = _question(service, image)
    if question is None:
        moves = "" if "@sha256:" in image else "; its tag may have moved since"
        return [], [f"not checked, image of {name}: {image} is not in ECR{moves}"]
    region, arguments = question
    where = replace(context.environment, region=region or context.environment.region)
    try:
        context.retry(lambda: where.client("ecr").describe_images(**arguments))
    except Exception as error:
        if code_of(error) in MISSING:
            return [f"{name}: ECR no longer has its image {image.partition('/')[2]}"], []
        if code_of(error) in CANNOT_TELL:
            return [], [f"not checked, image of {name}: {message_of(error)}"]
        raise
    return [], []


def _question(service: ServiceTarget, image: str) -> tuple[str, dict[str, Any]] | None:
    """Return the region to ask and the arguments of DescribeImages; none for another registry than ECR."""
    address, _, digest = image.partition("@")
    if service.repository and address == service.repository.url and digest:
        return "", {"repositoryName": service.repository.name, "imageIds": [{"imageDigest": digest}]}
    match = ECR.fullmatch(image)
    if match is None:
        return None
    which = {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"] or "latest"}
    return match["region"], {"registryId": match["account"], "repositoryName": match["name"], "imageIds": [which]}
