"""The content that Stackhand brings, and the project that it is used in."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackhand.system import roots
from tests.checkout import ROOT


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The content as a wheel has it."""
    content = tmp_path / "site-packages" / "ansible_collections" / "stackhand" / "ops"
    (content / "playbooks").mkdir(parents=True)
    return content


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project, with a folder in it."""
    (tmp_path / "shop" / "api" / "src").mkdir(parents=True)
    (tmp_path / "shop" / roots.LOCK).touch()
    return tmp_path / "shop"


def test_a_checkout_is_content_and_project_in_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(roots.VARIABLE, raising=False)
    assert roots.content() == ROOT
    assert roots.project(tmp_path, ROOT) == ROOT


def test_an_installed_package_has_its_content_as_a_collection(installed: Path) -> None:
    assert roots.content(installed.parents[2] / "stackhand") == installed


@pytest.mark.parametrize("below", [".", "api", "api/src"])
def test_the_project_is_found_from_every_folder_of_it(
    monkeypatch: pytest.MonkeyPatch, installed: Path, shop: Path, below: str
) -> None:
    monkeypatch.delenv(roots.VARIABLE, raising=False)
    assert roots.project(shop / below, installed) == shop


def test_without_a_lock_the_project_is_where_one_stands(
    monkeypatch: pytest.MonkeyPatch, installed: Path, tmp_path: Path
) -> None:
    monkeypatch.delenv(roots.VARIABLE, raising=False)
    assert roots.project(tmp_path, installed) == tmp_path


@pytest.mark.parametrize("brought", ["checkout", "package"])
def test_a_named_project_wins(
    monkeypatch: pytest.MonkeyPatch, installed: Path, shop: Path, tmp_path: Path, brought: str
) -> None:
    monkeypatch.setenv(roots.VARIABLE, str(shop))
    assert roots.project(tmp_path, ROOT if brought == "checkout" else installed) == shop
