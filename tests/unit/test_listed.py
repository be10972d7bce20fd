"""The packages of images that are kept by their layers: what cannot be trusted is read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackhand.release.images import listed
from stackhand.release.images.listed import Listed

PACKAGES = Listed("debian-13", [{"name": "dash", "purl": "pkg:deb/debian/dash@1"}])
LAYERS = '["sha256:0f"]'


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What lists packages."""
    monkeypatch.setattr(listed, "FOLDER", tmp_path / "packages")
    path = tmp_path / "reader.py"
    path.write_text("one")
    return path


def test_what_is_kept_is_known_by_its_layers_and_its_reader(reader: Path) -> None:
    assert listed.recall(LAYERS, reader) is None
    listed.keep(LAYERS, reader, PACKAGES)
    assert listed.recall(LAYERS, reader) == PACKAGES
    assert listed.recall('["sha256:0f", "sha256:1f"]', reader) is None
    reader.write_text("another version")
    assert listed.recall(LAYERS, reader) is None


def test_an_image_without_layers_is_never_kept(reader: Path) -> None:
    listed.keep("", reader, PACKAGES)
    assert listed.recall("", reader) is None
    assert not listed.FOLDER.exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"system": 1}'])
def test_what_is_damaged_is_read_again(reader: Path, content: bytes) -> None:
    listed.keep(LAYERS, reader, PACKAGES)
    (path,) = listed.FOLDER.iterdir()
    path.write_bytes(content)
    assert listed.recall(LAYERS, reader) is None


def test_a_folder_that_others_can_write_to_is_not_used(reader: Path) -> None:
    listed.keep(LAYERS, reader, PACKAGES)
    listed.FOLDER.chmod(0o777)
    assert listed.recall(LAYERS, reader) is None
    listed.keep("[1]", reader, PACKAGES)
    assert len([*listed.FOLDER.iterdir()]) == 1


def test_the_oldest_are_forgotten_and_what_is_used_is_not(reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "NEWEST", 2)
    for age, layers in enumerate(("a", "b")):
        listed.keep(layers, reader, PACKAGES)
        os.utime(listed._file(layers, reader), (age, age))
    assert listed.recall("a", reader) == PACKAGES
    listed.keep("c", reader, PACKAGES)
    assert [listed.recall(each, reader) for each in ("a", "b", "c")] == [PACKAGES, None, PACKAGES]
