"""Where the images of a release come from: what they are built on, what was built, and what CI attests.

ECR alone is not trusted: whoever may push can put an image under a commit before a deploy does, or delete one and push
another. So a deploy records what it builds in the bucket, `releases/images/COMMIT.json`, before it pushes, and releases
only what is in the record, or what was released before there were records. The signature says more: signature.py.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from stackhand import redaction
from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import docker
from stackhand.infrastructure import account
from stackhand.infrastructure.services import compose, existing, services
from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment
from stackhand.project.stack.xaws import Fargate, Job
from stackhand.release import manifest
from stackhand.release.context import Context
from stackhand.release.ecs.task_definitions import PLACEHOLDER, running
from stackhand.release.images import sbom
from stackhand.release.images.signature import SignedImage
from stackhand.release.images.source import COMMIT
from stackhand.release.manifest import Manifest, Releases
from stackhand.release.target import Target, containers
from stackhand.system.roots import PROJECT

PINS = "images.lock"
PIN = re.compile(r"(?P<image>[^\s@]+:[^\s:/@]+) (?P<digest>sha256:[0-9a-f]{64})")
FOLDER = f"{manifest.FOLDER}images/"
CHECKSUMS = PROJECT / ".stackhand" / "built" / "subjects.txt"
"""What `actions/attest` signs."""


def pins(root: Path = PROJECT) -> dict[str, str]:
    """Return the digest of each base image that `images.lock` pins, by name and tag; none without the file.

    Raises:
        Failure: a line is not `IMAGE:TAG sha256:DIGEST`, or an image is there twice.
    """
    path, pinned = root / PINS, dict[str, str]()
    if not path.exists():
        return pinned
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = PIN.fullmatch(line.strip())
        if match is None or match["image"] in pinned:
            raise Failure(
                f"{PINS} is not valid.",
                evidence=[f"line {number}: {line}", "a line is IMAGE:TAG sha256:DIGEST, each image once"],
                next=f"correct {PINS}, then repeat the command",
                code=ExitCode.PREFLIGHT,
            )
        pinned[match["image"]] = match["digest"]
    return pinned


class BuiltImage(msgspec.Struct, frozen=True):
    """An image that was built.

    Args:
        id: as docker calls it: the digest of its configuration, or of its manifest, by the way the engine keeps images.
        sbom: the digest of its bill of materials, which is kept beside the record.
        by: who built it.
        at: when.
        run: the address of the CI run.
    """

    id: str
    sbom: str
    by: str
    at: str
    run: str = ""


class BuiltImages(msgspec.Struct, frozen=True):
    """The document of a record: what was built of a commit, by the services' names."""

    commit: str
    images: dict[str, BuiltImage]


class BuildRecord:
    """The images that were built of a commit.

    Args:
        store: the bucket.
        commit: the tag of its images.
    """

    def __init__(self, store: Store, commit: str) -> None:
        self.store, self.commit = store, commit
        self.key = f"{FOLDER}{commit}.json"
        document = store.read(self.key)
        self.images = document.to(BuiltImages).images if document else {}

    def add(self, name: str, image: str, bill: dict[str, Any]) -> None:
        """Record an image of this machine, with its bill of materials, before anybody can have it."""
        bill = redaction.current().data(bill, names=False)  # as the bucket is given it
        digest = f"sha256:{hashlib.sha256(sbom.encoded(bill)).hexdigest()}"
        built = docker.run("image", "inspect", "--format", "{{.Id}}", image).stdout.strip()
        self.store.write(f"{FOLDER}{self.commit}/{name}.cdx.json", bill)
        self.images[name] = BuiltImage(built, digest, account.owner(), account.timestamp(), account.run_url())
        self.store.write(self.key, BuiltImages(self.commit, self.images))

    def require(self, repositories: Mapping[str, str], digests: Mapping[str, str]) -> None:
        """Refuse what ECR has under the commit when it is not what was built; all is given by the services' names.

        Raises:
            Failure: an image is another one, or nobody recorded it.
        """
        if not COMMIT.fullmatch(self.commit):
            return  # a name whose images somebody else pushed, and which were asked for by --allow-older
        for name, digest in digests.items():
            image = self.images.get(name)
            if image is not None and image.id in self._ids(repositories[name], digest):
                continue
            if image is None and self._released(digest):
                continue  # by an edition that kept no record
            raise self._refusal(name, repositories[name], digest, image)

    def _ids(self, repository: str, digest: str) -> set[str]:
        """Return what docker may call an image of ECR: its manifest names its configuration, and that its layers."""
        client = self.store.environment.client("ecr")
        images = client.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])["images"]
        content: dict[str, Any] = json.loads(images[0]["imageManifest"]) if images else {}
        return {digest, str(content.get("config", {}).get("digest", ""))}

    def _released(self, digest: str) -> bool:
        past = (each for each in Releases(self.store).newest_first() if each.good)
        return any(part.image.endswith(f"@{digest}") for each in past for part in each.services.values())

    def _refusal(self, name: str, repository: str, digest: str, image: BuiltImage | None) -> Failure:
        environment, commit = self.store.environment, self.commit[:12]
        what = f"The image of {name} in ECR under {commit} is not the one that was built."
        evidence = [f"in ECR: {repository}@{digest}"]
        if image is None:
            what = f"ECR has an image of {name} under {commit} without a build record."
        else:
            evidence.append(f"built: {image.id}, by {image.by} at {image.at}")
        remove = f"aws ecr batch-delete-image --region {environment.region} --repository-name {repository}"
        return Failure(
            what,
            evidence=[*evidence, "somebody pushed it without ./inv deploy: CloudTrail's PutImage shows who"],
            next=f"{remove} --image-ids imageDigest={digest}; then deploy again to build it",
            code=ExitCode.PREFLIGHT,
        )


def bills(store: Store, commit: str) -> dict[str, str]:
    """Return the digests of the bills of materials of a commit's images, as far as they were recorded."""
    return {name: image.sbom for name, image in BuildRecord(store, commit).images.items()}


def write_checksums(images: Mapping[str, str], bills: Mapping[str, str]) -> None:
    """Write the digests of images and of their bills of materials, in the place of what an earlier run wrote.

    They are given by their repositories' names: an address has the account's number, and attestations are public.
    """
    CHECKSUMS.unlink(missing_ok=True)
    lines = [f"{digest.removeprefix('sha256:')}  {name}" for name, digest in images.items()]
    lines += [f"{digest.removeprefix('sha256:')}  {name}.cdx.json" for name, digest in bills.items()]
    if lines:
        CHECKSUMS.parent.mkdir(parents=True, exist_ok=True)
        CHECKSUMS.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


Images = Iterator[SignedImage]


def of_target(environment: Environment, target: Target, digests: Mapping[str, str], commit: str) -> Images:
    """Yield the images that a new release is to run; a job has that of a service, or one of somebody else."""
    image = _reader(environment, commit)
    for name, service in target.services.items():
        url = service.repository.url if service.repository else ""
        for each in containers(service.task_definition):
            yield image(name, f"{url}@{digests.get(name, '')}" if each["image"] == PLACEHOLDER else each["image"])
    for name, job in target.jobs.items():
        others = (each["image"] for each in containers(job.task_definition))
        yield from (image(name, text) for text in others if text != PLACEHOLDER)


def of_release(context: Context, manifest: Manifest, *others: str) -> Images:
    """Yield the images that an earlier release runs, built from its commit or from others."""
    definitions = {name: part.task_definition for name, part in manifest.services.items()}
    definitions |= {name: part.task_definition for name, part in manifest.scheduled.items()}
    return of_definitions(context, definitions, manifest.commit, *others)


def of_definitions(context: Context, definitions: Mapping[str, str], *commits: str) -> Images:
    """Yield the images of services' task definitions, built from some commits; ECS never changes a definition."""
    image = _reader(context.environment, *commits)
    for name, arn in definitions.items():
        definition = context.retry(partial(running, context.ecs, arn))
        yield from (image(name, each["image"]) for each in containers(definition))


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
