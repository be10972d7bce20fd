"""What a release's images are made of: the pinned bases, whatever a tag says by now, and all that is installed."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from stackhand.containers import docker
from stackhand.project.stack.model import Build, Service
from stackhand.release.images import build, sbom

pytestmark = pytest.mark.compose
OCI = "application/vnd.oci.image"


class Registry(BaseHTTPRequestHandler):
    """A registry whose tag `base:1` moved to another image."""

    blobs: ClassVar[dict[str, tuple[str, bytes]]] = {}
    tagged = ""
    default_request_version = "HTTP/1.1"  # so that who tries TLS first is answered with HTTP, and knows

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        kind, content = self.blobs.get(self.tagged if name == "1" else name, ("", b""))
        self.send_response(200 if content or self.path == "/v2/" else 404)
        self.send_header("Content-Type", kind or "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(content).hexdigest()}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def add(content: bytes, kind: str) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    Registry.blobs[digest] = (kind, content)
    return {"mediaType": kind, "digest": digest, "size": len(content)}


def base(word: str) -> str:
    """Push an image without files whose environment says a word, and return its digest."""
    empty = b"\0" * 1024
    layer = add(empty, f"{OCI}.layer.v1.tar")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": [f"WORD={word}"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    entry = add(json.dumps(config).encode(), f"{OCI}.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": entry, "layers": [layer]}
    return str(add(json.dumps(manifest).encode(), f"{OCI}.manifest.v1+json")["digest"])


@contextmanager
def serving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}/base:1"
        server.shutdown()


@pytest.fixture
def tag(engine: str) -> Iterator[str]:
    """The tag of an image that is gone after the test."""
    found = f"stackhand-supply-{datetime.now(UTC):%H%M%S%f}:1"
    yield found
    docker.run("image", "rm", "--force", found)


def built(image: str, folder: Path, pinned: Mapping[str, str] | None = None) -> str:
    """Build a folder as a release is, and return the environment of the image."""
    service = Service("own", None, Build("."), [], {}, (), (), "no", False, False, None, None, None)
    words = build.command(service, image, "X86_64", datetime.now(UTC), folder, pinned=pinned or {})
    said = subprocess.run(
        [*words[:-1], str(folder)], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert said.returncode == 0, said.stderr
    return docker.run("image", "inspect", "--format", "{{json .Config.Env}}", image).stdout


def test_a_release_is_built_on_the_pinned_image_when_its_tag_has_moved(tag: str, tmp_path: Path) -> None:
    good, evil = base("good"), base("evil")
    Registry.tagged = evil
    with serving() as name:
        (tmp_path / "Dockerfile").write_text(f"ARG BASE={name}\nFROM ${{BASE}}\n", encoding="utf-8")
        assert "WORD=evil" in built(tag, tmp_path)
        assert "WORD=good" in built(tag, tmp_path, {name: good})


PACKAGES = {
    "etc/os-release": 'ID=alpine\nVERSION_ID="3.24.2"\n',
    "lib/apk/db/installed": "P:musl\nV:1.2.5-r9\nA:x86_64\n\nP:zlib\nV:1.3.1-r2\nA:x86_64\n",
    "var/lib/dpkg/status": "Package: dash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:0.5\n\n"
    "Package: gone\nStatus: deinstall ok not-installed\nVersion: 1\n",
    "packages/Some_Thing-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.0\n\nwords",
    "app/node_modules/@acme/tool/package.json": '{"name": "@acme/tool", "version": "2.0.0"}',
    "app/package.json": '{"name": "not-installed", "version": "1.0.0"}',
}


run = docker.run


def only_inspected(*args: str, **options: Any) -> Any:
    assert args[:2] == ("image", "inspect"), args
    return run(*args, **options)


def test_the_bill_of_materials_has_every_package_that_is_installed(
    tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sbom, "FOLDER", tmp_path / "packages")
    for name, text in PACKAGES.items():
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY files /\n", encoding="utf-8")
    built(tag, tmp_path)
    bill = sbom.bill_of_materials(tag, "api", "4f3a")
    assert [each["purl"] for each in bill["components"]] == [
        "pkg:apk/alpine/musl@1.2.5-r9?arch=x86_64&distro=alpine-3.24.2",
        "pkg:apk/alpine/zlib@1.3.1-r2?arch=x86_64&distro=alpine-3.24.2",
        "pkg:deb/alpine/dash@1%3A0.5?arch=amd64&distro=alpine-3.24.2",
        "pkg:npm/%40acme/tool@2.0.0",
        "pkg:pypi/some-thing@1.0",
    ]
    assert bill["metadata"]["component"]["name"] == "api"
    again = sbom.bill_of_materials(tag, "api", "4f3a")
    assert sbom.encoded(bill) == sbom.encoded(again)  # the same packages have the same digest
    with monkeypatch.context() as patch:
        patch.setattr(sbom.docker, "run", only_inspected)
        assert sbom.bill_of_materials(tag, "api", "4f3a") == bill  # the same layers are not read again
    (tmp_path / "files" / "lib/apk/db/installed").write_text("P:musl\nV:2\nA:x86_64\n", encoding="utf-8")
    built(tag, tmp_path)
    assert "pkg:apk/alpine/musl@2?arch=x86_64&distro=alpine-3.24.2" in {
        each["purl"] for each in sbom.bill_of_materials(tag, "api", "4f3a")["components"]
    }
    assert docker.run("ps", "--all", "--quiet", "--filter", f"ancestor={tag}").stdout == ""
