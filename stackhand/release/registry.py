"""What ECR has: nothing here pushes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stackhand.aws.errors import code_of
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release.source import COMMIT, Source, clean
from stackhand.release.target import Service, Target

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
