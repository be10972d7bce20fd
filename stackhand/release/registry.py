"""What ECR has: nothing here pushes."""

from __future__ import annotations

from stackhand.aws.errors import code_of
from stackhand.environments import Environment
from stackhand.failure import ExitCode, Failure
from stackhand.release.target import Service, Target

MISSING = frozenset({"ImageNotFoundException", "RepositoryNotFoundException"})


def digest_of(environment: Environment, service: Service, commit: str) -> str:
    """Return the digest of a commit's image; nothing when ECR does not have it, or nobody builds it."""
    if service.repository is None:
        return ""
    ids = [{"imageTag": commit}]
    try:
        found = environment.client("ecr").describe_images(repositoryName=service.repository.name, imageIds=ids)
    except Exception as error:
        if code_of(error) in MISSING:
            return ""
        raise
    return str(found["imageDetails"][0]["imageDigest"])


def require(environment: Environment, target: Target | None, commit: str) -> None:
    """Refuse a commit that is not checked out, unless all its images are there.

    Raises:
        Failure: one is missing, or nobody knows yet where they would be.
    """
    built = target.built() if target else {}
    missing = [name for name, service in built.items() if not digest_of(environment, service, commit)]
    if missing or not built:
        raise Failure(
            f"{commit[:12]} is not what is checked out here, and ECR has no images of it.",
            evidence=[f"missing: {', '.join(missing) or 'all, for nothing was released yet'}"],
            next=f"git checkout {commit[:12]}, and deploy that",
            code=ExitCode.PREFLIGHT,
        )
