"""The images that a release runs, and where each has to come from.

The checkout decides, with its Compose file and environments: who may write the bucket could say anything of a release,
and who may write task definitions could name an image of anybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from stackhand.infrastructure import compose, existing, services
from stackhand.project.environments import Environment
from stackhand.project.xfields import Fargate, Job
from stackhand.release.manifest import Manifest
from stackhand.release.prepare import PLACEHOLDER, running
from stackhand.release.signature import SignedImage
from stackhand.release.target import Context, Target
from stackhand.system.roots import PROJECT

Images = Iterator[SignedImage]


def of_target(environment: Environment, target: Target, digests: Mapping[str, str], commit: str) -> Images:
    """Yield the images that a new release is to run; a job has that of a service, or one of somebody else."""
    image = _reader(environment, commit)
    for name, service in target.services.items():
        url = service.repository.url if service.repository else ""
        for text in _images(service.task_definition):
            yield image(name, f"{url}@{digests.get(name, '')}" if text == PLACEHOLDER else text)
    for name, job in target.jobs.items():
        yield from (image(name, text) for text in _images(job.task_definition) if text != PLACEHOLDER)


def of_release(context: Context, manifest: Manifest, *others: str) -> Images:
    """Yield the images that an earlier release runs, built from its commit or from others."""
    definitions = {name: part.task_definition for name, part in manifest.services.items()}
    definitions |= {name: part.task_definition for name, part in manifest.scheduled.items()}
    return of_definitions(context, definitions, manifest.commit, *others)


def of_definitions(context: Context, definitions: Mapping[str, str], *commits: str) -> Images:
    """Yield the images of task definitions: ECS is asked, which never changes one.

    Args:
        context: where.
        definitions: the ARN of each service's.
        commits: that the images may have been built from.
    """
    image = _reader(context.environment, *commits)
    for name, arn in definitions.items():
        definition = context.retry(partial(running, context.ecs, arn))
        yield from (image(name, text) for text in _images(definition))


def _images(definition: Mapping[str, Any]) -> list[str]:
    return [str(each["image"]) for each in definition["containerDefinitions"]]


def _reader(environment: Environment, commit: str, *others: str) -> Callable[[str, str], SignedImage]:
    """Return what makes of a service's name and its image's address what is known of the image."""
    stack = compose.stack_of(PROJECT)

    def image(name: str, text: str) -> SignedImage:
        url, _, digest = text.partition("@")
        folder = _folder(environment, url)
        known = stack.services.get(name)
        job = known is not None and isinstance(known.aws, Job)
        owner = (job and services.image_of(stack, name)) or name  # a job has no repository of its own
        foreign = (
            known is not None
            and isinstance(known.aws, Fargate | Job)
            and not known.build
            and not url.startswith(folder)
        )
        named = existing.by_service(environment, existing.REPOSITORIES).get(owner)
        expected = f"{folder.partition('/')[0]}/{named}" if named else folder + owner
        return SignedImage(name, url, digest, commit, None if foreign else expected, others)

    return image


def _folder(environment: Environment, url: str) -> str:
    """Return what the addresses of an environment's repositories begin with."""
    end = "amazonaws.com.cn" if environment.region.startswith("cn-") else "amazonaws.com"
    registry = f"{environment.account}.dkr.ecr.{environment.region}.{end}"
    if environment.emulated:  # its registry is wherever the rehearsal has started it
        registry = url.partition("/")[0]
    return f"{registry}/{environment.stack}-{environment.name}/"
