"""The bill of materials of an image: its packages, read from its files. Nothing of the image is run.

The packages are kept by the image's layers: the same layers are the same files. Most services of a release are those of
the release before, and the engine takes a second for the files of an image.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from email.parser import HeaderParser
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import msgspec

from stackhand.cli.failure import Failure
from stackhand.containers import docker
from stackhand.project import inherited, ownership
from stackhand.system.roots import PROJECT

Component = dict[str, str]

LARGEST = 16 * 1024 * 1024
"""Bytes of a file that is read; package databases are smaller."""
READER = Path(__file__)
"""What has another version lists again."""
LISTED = "Debian (dpkg), Alpine (apk), Python and npm packages; no others, and no copied files"

AT_ONCE = 2
"""How many images are listed at the same time: each keeps a core of the engine's machine busy."""

FOLDER = PROJECT / ".stackhand" / "packages"
NEWEST = 50
"""How many images are kept, those that were asked for last."""


class Listed(msgspec.Struct, frozen=True):
    """The packages of an image, as in its bill of materials.

    Args:
        system: such as debian-13.
        components: the packages, sorted.
    """

    system: str
    components: list[dict[str, str]]


class Listings:
    """Bills of materials that are made beside the block: the next image is built meanwhile.

    At the end of the block those that nobody has taken are given up.
    """

    def __enter__(self) -> Listings:
        self._given_up = threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sbom")
        self._bills: dict[str, Future[dict[str, Any]]] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._given_up.set()
        self._pool.shutdown(cancel_futures=True)

    def begin(self, image: str, name: str, version: str) -> None:
        """Begin to list an image; the arguments are those of `bill_of_materials`."""
        self._bills[name] = self._pool.submit(bill_of_materials, image, name, version, self._given_up)

    def of(self, name: str) -> dict[str, Any]:
        """Return the bill of materials of a service's image, once it is made.

        Raises:
            Failure: as `bill_of_materials`.
        """
        return self._bills[name].result()


def bill_of_materials(image: str, name: str, version: str, given_up: threading.Event | None = None) -> dict[str, Any]:
    """Return the bill of materials of an image that is on this machine, until nobody waits for it any more.

    Raises:
        Failure: docker cannot hand the image's files over.
    """
    packages = _listed(image, given_up or threading.Event())
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "name": name, "version": version, "bom-ref": "image"},
            "properties": [
                {"name": "stackhand:listed", "value": LISTED},
                {"name": "stackhand:system", "value": packages.system},
            ],
        },
        "components": packages.components,
    }


def encoded(document: dict[str, Any]) -> bytes:
    """Return a document as it is kept, so that the same packages have the same digest."""
    return json.dumps(document, indent=2, sort_keys=True).encode()


def _listed(image: str, given_up: threading.Event) -> Listed:
    """Return the packages of an image, from its files or from what an image of the same layers has."""
    form = "{{.Os}}/{{.Architecture}} {{json .RootFS.Layers}}"
    platform, _, layers = docker.run("image", "inspect", "--format", form, image).stdout.strip().partition(" ")
    layers = "" if layers in {"null", "[]"} else layers
    if (known := recall(layers, READER)) is None:
        known = _read_files(image, platform, given_up)
        keep(layers, READER, known)
    return known


def recall(layers: str, reader: Path) -> Listed | None:
    """Return the packages of an image; None where nobody has listed one of these layers with this very reader."""
    if not layers or not ownership.is_closed(FOLDER):
        return None
    path = _file(layers, reader)
    with suppress(OSError, ValueError):
        known = msgspec.json.decode(path.read_bytes(), type=Listed)
        os.utime(path)
        return known
    return None


def keep(layers: str, reader: Path, packages: Listed) -> None:
    """Keep the packages of an image for the next one of the same layers."""
    if not layers:
        return
    with suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        if ownership.is_closed(FOLDER):
            ownership.write(_file(layers, reader), msgspec.json.encode(packages).decode())
            _forget_oldest()


def _forget_oldest() -> None:
    kept = sorted(FOLDER.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[NEWEST:]:
        path.unlink(missing_ok=True)


def _file(layers: str, reader: Path) -> Path:
    return FOLDER / f"{hashlib.sha256(layers.encode() + reader.read_bytes()).hexdigest()}.json"


def _read_files(image: str, platform: str, given_up: threading.Event) -> Listed:
    # "none" is never run; an image need not name a command, and docker wants one
    container = docker.run("create", "--platform", platform, "--network", "none", image, "none").stdout.strip()
    try:
        args = ["docker", "export", container]
        with subprocess.Popen(args, env=inherited.environment("docker"), stdout=subprocess.PIPE) as child:
            assert child.stdout is not None  # noqa: S101 - asked for above
            components, system = _read(child.stdout, given_up)
            while not given_up.is_set() and child.stdout.read(LARGEST):
                pass  # the padding, or docker would write to nobody
        if child.returncode != 0 or given_up.is_set():
            raise Failure(f"The files of {image} could not be listed.", next="docker system df; then deploy again")
    finally:
        docker.run("rm", "--force", container)
    unique = {each["purl"]: each for each in components}
    return Listed(system, [unique[purl] for purl in sorted(unique)])


def _read(stream: IO[bytes], given_up: threading.Event) -> tuple[list[Component], str]:
    """Return the packages in the files of an image, and which system they are for."""
    texts: list[tuple[Callable[[str, str], Iterator[Component]], str]] = []
    release: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="r|") as files:
        for member in files:
            if given_up.is_set():
                break
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
