"""The version of a checkout, by git's tags; tests/entrypoint/test_wheel.py has those of the sdist and the wheel."""

from __future__ import annotations

import runpy
import subprocess
import tarfile
from pathlib import Path

import pytest

from stackhand import version
from tests.checkout import ROOT, clean_environment

FILES = (".gitattributes", "stackhand/version.py")


class Repository:
    """A repository with the file that knows the version."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *args: str) -> str:
        """Run git in it."""
        settings = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main")
        return subprocess.run(
            ["git", *settings, *args],
            cwd=self.path,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def commit(self) -> str:
        """Commit, and return its name."""
        self.git("commit", "--quiet", "--allow-empty", "--all", "--message", "c")
        return self.git("rev-parse", "--short", "HEAD")

    def version(self) -> tuple[str, str]:
        """Return the version, as packages and as people have it."""
        found = version.of(self.path / "stackhand")
        return found.number, str(found)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """One commit."""
    made = Repository(tmp_path / "checkout")
    for name in FILES:
        (made.path / name).parent.mkdir(parents=True, exist_ok=True)
        (made.path / name).write_bytes((ROOT / name).read_bytes())
    made.git("init", "--quiet")
    made.git("add", ".")
    made.commit()
    return made


def test_version_of_a_checkout_follows_the_tags(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit()
    assert repository.version() == (f"0.2.0.dev2+g{commit}", f"0.2.0.dev2 ({commit})")
    repository.git("tag", "shop-9.0")  # of somebody else's making
    repository.git("tag", "v0.2.0rc1")
    assert repository.version() == ("0.2.0rc1", f"0.2.0rc1 ({commit})")
    commit = repository.commit()
    assert repository.version()[0] == f"0.2.0rc2.dev1+g{commit}"
    repository.git("tag", "--annotate", "--message", "t", "v0.2.0")
    assert repository.version() == ("0.2.0", f"0.2.0 ({commit})")
    shallow = Repository(tmp_path / "shallow")
    repository.git("clone", "--quiet", "--depth", "1", f"file://{repository.path}", str(shallow.path))
    assert shallow.version() == ("0.2.0", f"0.2.0 ({commit})")
    (repository.path / FILES[1]).write_text("x = 1\n", encoding="utf-8")
    assert repository.version() == (f"0.2.1.dev0+g{commit}.modified", f"0.2.1.dev0 ({commit}, modified)")


def test_version_needs_neither_history_nor_git(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit()
    shallow = Repository(tmp_path / "shallow")
    repository.git("clone", "--quiet", "--depth", "1", f"file://{repository.path}", str(shallow.path))
    assert shallow.version()[0] == f"0.2.0.dev0+g{commit}"
    for tag in ("", "v0.2.0"):
        if tag:
            repository.git("tag", tag)
        unpacked = tmp_path / f"archive{tag}"
        repository.git("archive", "--output", str(tmp_path / "source.tar"), "HEAD")
        with tarfile.open(tmp_path / "source.tar") as archive:
            # Debian 12's Python 3.11.2 has no filters yet
            archive.extractall(unpacked, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        found = runpy.run_path(str(unpacked / FILES[1]))["current"]()
        assert tuple(found) == (("0.2.0" if tag else f"0.2.0.dev0+g{commit}"), commit)
    monkeypatch.setenv("PATH", "")
    assert repository.version() == ("0.2.0.dev0", "0.2.0.dev0 (commit unknown)")
