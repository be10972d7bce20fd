"""Where the images of a release come from: what they are built on, what was built, and what CI attests.

ECR alone is not trusted: whoever may push can put an image under a commit before a deploy does, or delete one and push
another. So a deploy records what it builds in the bucket, `releases/images/COMMIT.json`, before it pushes, and releases
only what is in the record, or what was released before there were records. The signature says more: signature.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import msgspec

from stackhand import redaction
from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import docker
from stackhand.infrastructure import account
from stackhand.infrastructure.bucket import Store
from stackhand.project import inherited
from stackhand.release import manifest
from stackhand.release.manifest import Releases
from stackhand.release.source import COMMIT
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

    def add(self, name: str, image: str) -> None:
        """Record an image of this machine, with its bill of materials, before anybody can have it."""
        bill = redaction.current().data(
            bill_of_materials(image, name, self.commit), names=False
        )  # as the bucket is given it
        digest = f"sha256:{hashlib.sha256(encoded(bill)).hexdigest()}"
        built = docker.run("image", "inspect", "--format", "{{.Id}}", image).stdout.strip()
        self.store.write(f"{FOLDER}{self.commit}/{name}.cdx.json", bill)
        self.images[name] = BuiltImage(built, digest, account.owner(), account.timestamp(), account.run_url())
        self.store.write(self.key, msgspec.to_builtins(BuiltImages(self.commit, self.images)))

    def require(self, repositories: Mapping[str, str], digests: Mapping[str, str]) -> None:
        """Refuse what ECR has under the commit when it is not what was built.

        Args:
            repositories: by the services' names.
            digests: of what ECR has, by the services' names.

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

    Args:
        images: by their repositories' names; an address has the account's number, and attestations are public.
        bills: likewise.
    """
    CHECKSUMS.unlink(missing_ok=True)
    lines = [f"{digest.removeprefix('sha256:')}  {name}" for name, digest in images.items()]
    lines += [f"{digest.removeprefix('sha256:')}  {name}.cdx.json" for name, digest in bills.items()]
    if lines:
        CHECKSUMS.parent.mkdir(parents=True, exist_ok=True)
        CHECKSUMS.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


Component = dict[str, str]
LARGEST = 16 * 1024 * 1024
"""Bytes of a file that is read; package databases are smaller."""
LISTED = "Debian (dpkg), Alpine (apk), Python and npm packages; no others, and no copied files"


def bill_of_materials(image: str, name: str, version: str) -> dict[str, Any]:
    """Return the bill of materials of an image that is on this machine. Nothing of the image is run.

    Raises:
        Failure: docker cannot hand the image's files over.
    """
    components, system = _components(image)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "name": name, "version": version, "bom-ref": "image"},
            "properties": [
                {"name": "stackhand:listed", "value": LISTED},
                {"name": "stackhand:system", "value": system},
            ],
        },
        "components": components,
    }


def encoded(document: dict[str, Any]) -> bytes:
    """Return a document as it is kept, so that the same packages have the same digest."""
    return json.dumps(document, indent=2, sort_keys=True).encode()


def _components(image: str) -> tuple[list[dict[str, str]], str]:
    platform = docker.run("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image).stdout.strip()
    # "none" is never run; an image need not name a command, and docker wants one
    container = docker.run("create", "--platform", platform, "--network", "none", image, "none").stdout.strip()
    try:
        args = ["docker", "export", container]
        with subprocess.Popen(args, env=inherited.environment("docker"), stdout=subprocess.PIPE) as child:
            assert child.stdout is not None  # noqa: S101 - asked for above
            components, system = _read(child.stdout)
            while child.stdout.read(LARGEST):
                pass  # the padding, or docker would write to nobody
        if child.returncode != 0:
            raise Failure(f"The files of {image} could not be listed.", next="docker system df; then deploy again")
    finally:
        docker.run("rm", "--force", container)
    unique = {each["purl"]: each for each in components}
    return [unique[purl] for purl in sorted(unique)], system


def _read(stream: IO[bytes]) -> tuple[list[Component], str]:
    """Return the packages in the files of an image, and which system they are for."""
    texts: list[tuple[Callable[[str, str], Iterator[Component]], str]] = []
    release: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="r|") as files:
        for member in files:
            if not member.isfile() or member.size > LARGEST:
                continue
            reader = next((reader for pattern, reader in READERS if pattern.search(member.name)), None)
            if reader is None and not OS_RELEASE.fullmatch(member.name):
                continue
            content = files.extractfile(member)
            text = content.read().decode(errors="replace") if content else ""
            if reader is None:
                release = dict(re.findall(r'^(\w+)="?([^"\n]*)', text, re.MULTILINE))
            else:
                texts.append((reader, text))
    system = f"{release.get('ID', 'linux')}-{release.get('VERSION_ID', '')}".rstrip("-")
    return [each for reader, text in texts for each in reader(text, system)], system


def _component(kind: str, name: str, version: str, *, space: str = "", **qualifiers: str) -> Component:
    path = "/".join(quote(part, safe="") for part in (space, name) if part)
    more = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(qualifiers.items()) if value)
    purl = f"pkg:{kind}/{path}@{quote(version, safe='')}{'?' if more else ''}{more}"
    full = f"{space}/{name}" if kind == "npm" and space else name
    return {"type": "library", "name": full, "version": version, "purl": purl, "bom-ref": purl}


def _debian(text: str, system: str) -> Iterator[Component]:
    for block in text.split("\n\n"):
        fields = HeaderParser().parsestr(block.strip())
        if fields["Package"] and fields["Version"] and not (fields["Status"] or "installed").endswith("not-installed"):
            arch = str(fields["Architecture"] or "")
            space = system.partition("-")[0]
            yield _component("deb", fields["Package"], fields["Version"], space=space, arch=arch, distro=system)


def _alpine(text: str, system: str) -> Iterator[Component]:
    for block in text.split("\n\n"):
        fields = dict(re.findall(r"^([PVA]):(.+)$", block, re.MULTILINE))
        if "P" in fields and "V" in fields:
            space = system.partition("-")[0]
            yield _component("apk", fields["P"], fields["V"], space=space, arch=fields.get("A", ""), distro=system)


def _python(text: str, _: str) -> Iterator[Component]:
    fields = HeaderParser().parsestr(text)
    if fields["Name"] and fields["Version"]:
        yield _component("pypi", re.sub(r"[-_.]+", "-", fields["Name"]).lower(), fields["Version"])


def _npm(text: str, _: str) -> Iterator[Component]:
    try:
        document = json.loads(text)
    except ValueError:
        return
    if (
        isinstance(document, dict)
        and isinstance(document.get("name"), str)
        and isinstance(document.get("version"), str)
    ):
        space, _, name = document["name"].rpartition("/")
        yield _component("npm", name, document["version"], space=space)


OS_RELEASE = re.compile(r"(?:etc|usr/lib)/os-release")
READERS = (
    (re.compile(r"^var/lib/dpkg/status$|^var/lib/dpkg/status\.d/(?!.*\.md5sums$)[^/]+$"), _debian),
    (re.compile(r"^(?:usr/)?lib/apk/db/installed$"), _alpine),
    (re.compile(r"\.dist-info/METADATA$|\.egg-info/PKG-INFO$"), _python),
    (re.compile(r"(?:^|/)node_modules/(?:@[^/]+/)?[^/]+/package\.json$"), _npm),
)
