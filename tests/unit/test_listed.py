"""The packages of images that are kept by their layers: what cannot be trusted is read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackhand.release.images import sbom
from stackhand.release.images.sbom import Listed

PACKAGES = Listed("debian-13", [{"name": "dash", "purl": "pkg:deb/debian/dash@1"}])
LAYERS = '["sha256:0f"]'


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What lists packages."""
    monkeypatch.setattr(sbom, "FOLDER", tmp_path / "packages")
    path = tmp_path / "reader.py"
    path.write_text("one")
    return path


def test_what_is_kept_is_known_by_its_layers_and_its_reader(reader: Path) -> None:
    assert sbom.recall(LAYERS, reader) is None
    sbom.keep(LAYERS, reader, PACKAGES)
    assert sbom.recall(LAYERS, reader) == PACKAGES
    assert sbom.recall('["sha256:0f", "sha256:1f"]', reader) is None
    reader.write_text("another version")
    assert sbom.recall(LAYERS, reader) is None


def test_an_image_without_layers_is_never_kept(reader: Path) -> None:
    sbom.keep("", reader, PACKAGES)
    assert sbom.recall("", reader) is None
    assert not sbom.FOLDER.exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"system": 1}'])
def test_what_is_damaged_is_read_again(reader: Path, content: bytes) -> None:
    sbom.keep(LAYERS, reader, PACKAGES)
    (path,) = sbom.FOLDER.iterdir()
    path.write_bytes(content)
    assert sbom.recall(LAYERS, reader) is None


def test_a_folder_that_others_can_write_to_is_not_used(reader: Path) -> None:
    sbom.keep(LAYERS, reader, PACKAGES)
    sbom.FOLDER.chmod(0o777)
    assert sbom.recall(LAYERS, reader) is None
    sbom.keep("[1]", reader, PACKAGES)
    assert len([*sbom.FOLDER.iterdir()]) == 1


def test_the_oldest_are_forgotten_and_what_is_used_is_not(reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "NEWEST", 2)
    for age, layers in enumerate(("a", "b")):
        sbom.keep(layers, reader, PACKAGES)
        os.utime(sbom._file(layers, reader), (age, age))
    assert sbom.recall("a", reader) == PACKAGES
    sbom.keep("c", reader, PACKAGES)
    assert [sbom.recall(each, reader) for each in ("a", "b", "c")] == [PACKAGES, None, PACKAGES]
