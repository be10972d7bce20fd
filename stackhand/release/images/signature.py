"""The signatures of a release's images: made once an image is pushed, verified before anything of it runs.

They have cosign's format: a "simple signing" payload, its signature in the annotation of a layer, in the image's
repository under the tag `sha256-DIGEST.sig`. The payload names repository, digest and commit, so it can be computed,
and is: nothing that is stored decides what a signature is of.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from stackhand.aws import errors
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import signing_key
from stackhand.project.environments import Environment

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIGURATION = "application/vnd.oci.image.config.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
WRONG = "of another image, repository or commit, or by another key"
NOT_PINNED = "not checked, signatures of images: there is no {file}; ./inv bootstrap -e {name} makes a key"


@dataclass(frozen=True)
class SignedImage:
    """An image that a service runs.

    Args:
        service: whose it is.
        url: of its repository, without tag and digest.
        digest: its own.
        commit: that it was built from.
        expected: the repository that it has to come from; none where the checkout does not build it.
        others: commits that it may have been built from as well.
    """

    service: str
    url: str
    digest: str
    commit: str
    expected: str | None = ""
    others: tuple[str, ...] = ()

    @property
    def misplaced(self) -> str:
        """Why it cannot be an image that was built for its service; empty when it can."""
        if self.expected and self.url != self.expected:
            return f"is not from {self.expected}"
        return "" if DIGEST.fullmatch(self.digest) else "has no digest, and its tag may move"

    def variants(self) -> list[SignedImage]:
        """Return it as an image of each of its commits."""
        return [self, *(replace(self, commit=each) for each in self.others if each != self.commit)]

    @property
    def repository(self) -> str:
        """The name of its repository in the registry."""
        return self.url.partition("/")[2]

    @property
    def tag(self) -> str:
        """Where cosign looks for its signatures."""
        return f"{self.digest.replace(':', '-')}.sig"

    @property
    def own_tag(self) -> str:
        """Where its signature is when an earlier commit has the same image: ECR's tags do not move."""
        return f"{self.digest.replace(':', '-')}-{hashlib.sha256(self.payload).hexdigest()[:16]}.sig"

    @property
    def payload(self) -> bytes:
        """What is signed, in the bytes that cosign would write."""
        critical = {
            "identity": {"docker-reference": self.url},
            "image": {"docker-manifest-digest": self.digest},
            "type": "cosign container image signature",
        }
        return json.dumps({"critical": critical, "optional": {"commit": self.commit}}, separators=(",", ":")).encode()


def sign(environment: Environment, image: SignedImage) -> None:
    """Sign an image that was built here, and put the signature beside it: two commits may have the same image.

    Raises:
        Failure: it cannot be signed.
    """
    made = signing_key.sign(environment, image.payload)
    client = environment.client("ecr")
    with errors.as_failure(f"The signature of {image.service} cannot be pushed"):
        layer = {**_upload(client, image.repository, image.payload, PAYLOAD), "annotations": {ANNOTATION: made}}
        configuration = {"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _upload(client, image.repository, json.dumps(configuration).encode(), CONFIGURATION),
            "layers": [layer],
        }
        put = {"imageManifest": json.dumps(manifest), "imageManifestMediaType": MANIFEST}
        for tag in (image.tag, image.own_tag):
            with suppress(
                client.exceptions.ImageTagAlreadyExistsException, client.exceptions.ImageAlreadyExistsException
            ):
                client.put_image(repositoryName=image.repository, imageTag=tag, **put)
                return  # what was there already is verified next, as all signatures are


def _upload(client: Any, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
    """Upload a blob, unless it is there, and return its descriptor."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    upload = client.initiate_layer_upload(repositoryName=repository)["uploadId"]
    part = {"partFirstByte": 0, "partLastByte": len(content) - 1, "layerPartBlob": content}
    client.upload_layer_part(repositoryName=repository, uploadId=upload, **part)
    with suppress(client.exceptions.LayerAlreadyExistsException):
        client.complete_layer_upload(repositoryName=repository, uploadId=upload, layerDigests=[digest])
    return {"mediaType": media_type, "size": len(content), "digest": digest}


@dataclass(frozen=True)
class SignatureCheck:
    """What was found of some images.

    Args:
        missing: those that have no signature.
        wrong: those that have one, and none that is valid for them, or that come from elsewhere.
        notes: what was not checked, and why.
    """

    missing: list[SignedImage] = field(default_factory=list)
    wrong: list[SignedImage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[SignedImage]:
        """All that the pinned key did not sign."""
        return [*self.missing, *self.wrong]

    def evidence(self) -> list[str]:
        """Return a line on each image that is refused."""
        return [
            *(f"{each.service}: {each.repository}@{each.digest} has no signature" for each in self.missing),
            *(f"{each.service}: {_fault(each)}" for each in self.wrong),
        ]


def _fault(image: SignedImage) -> str:
    if image.misplaced:
        return f"its image {image.url}{'@' * bool(image.digest)}{image.digest} {image.misplaced}"
    return f"the signature of {image.repository}@{image.digest} is {WRONG}"


def require(environment: Environment, images: Iterable[SignedImage]) -> list[str]:
    """Refuse a new release whose images are not signed; return what was not checked.

    Raises:
        Failure: the pinned key did not sign an image as what it is said to be.
    """
    checked = check(environment, images)
    if any(each.misplaced for each in checked.wrong):
        raise refusal(environment, checked, f"./inv plan -e {environment.name} shows what Terraform would fix")
    if checked.refused:
        removal = " && ".join(_removal(environment, each) for each in checked.refused)
        raise refusal(environment, checked, f"{removal}; then deploy again, which builds and signs them")
    return checked.notes


def require_again(environment: Environment, images: Iterable[SignedImage], remedy: str) -> list[str]:
    """Refuse images of an earlier release that are not signed; return what was not checked.

    Raises:
        Failure: as `require`.
    """
    checked = check(environment, images)
    if checked.refused:
        raise refusal(environment, checked, remedy)
    return checked.notes


def check(environment: Environment, images: Iterable[SignedImage]) -> SignatureCheck:
    """Verify that the pinned key signed each image as what it is said to be; one that is not built here is noted."""
    key, checked = signing_key.pinned(environment), SignatureCheck()
    if key is None:
        file = signing_key.shown(environment)
        return SignatureCheck(notes=[NOT_PINNED.format(file=file, name=environment.name)])
    for image in images:
        if image.expected is None:
            checked.notes.append(f"not checked, signature of {image.service}: {image.url} is not built here")
            continue
        signatures = [] if image.misplaced else _signatures(environment, image)
        valid = any(signing_key.verifies(key, text, each.payload) for text in signatures for each in image.variants())
        if not valid:
            (checked.wrong if signatures or image.misplaced else checked.missing).append(image)
    return checked


def refusal(environment: Environment, checked: SignatureCheck, remedy: str) -> Failure:
    """Return the refusal of images that are not signed."""
    commit, file = checked.refused[0].commit[:12], signing_key.shown(environment)
    services = ", ".join(each.service for each in checked.refused)
    return Failure(
        f"Images of {commit} are not signed with the key in {file}: {services}.",
        evidence=[
            *checked.evidence(),
            "CloudTrail's PutImage and BatchDeleteImage show who pushed an image, and who removed a signature",
        ],
        next=remedy,
        code=ExitCode.PREFLIGHT,
    )


def _signatures(environment: Environment, image: SignedImage) -> list[str]:
    """Return the signatures that ECR has of an image; an empty text for one that cannot be read."""
    ids = [{"imageTag": tag} for tag in (image.tag, *(each.own_tag for each in image.variants()))]
    with errors.as_failure(f"The signature of {image.service} cannot be read", ExitCode.PREFLIGHT):
        answer = environment.client("ecr").batch_get_image(
            repositoryName=image.repository, imageIds=ids, acceptedMediaTypes=[MANIFEST]
        )
    return [text for each in answer["images"] for text in _annotated(each["imageManifest"])]


def _annotated(manifest: str) -> list[str]:
    try:
        layers = json.loads(manifest)["layers"]
        return [str((each.get("annotations") or {}).get(ANNOTATION, "")) for each in layers] or [""]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [""]


def _removal(environment: Environment, image: SignedImage) -> str:
    where = f"--region {environment.region} --repository-name {image.repository}"
    tags = f"imageTag={image.tag} imageTag={image.own_tag}"
    return f"aws ecr batch-delete-image {where} --image-ids imageDigest={image.digest} {tags}"
