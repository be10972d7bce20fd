"""What is to be released: a commit, told by git, and never an older one by accident."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from stackhand.failure import ExitCode, Failure
from stackhand.release import lead, source
from stackhand.release.manifest import Manifest
from tests.cloud.conftest import Cloud


class Repository:
    """A checkout to commit into."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "--quiet")

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        found = subprocess.run(["git", *who, *words], cwd=self.path, capture_output=True, text=True, check=True)
        return found.stdout.strip()

    def commit(self, words: str) -> str:
        (self.path / "file").write_text(words, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", words)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setattr(source, "ROOT", tmp_path)
    return Repository(tmp_path)


def test_a_release_is_called_by_its_commit_and_a_dirty_one_by_what_differs(repository: Repository) -> None:
    head = repository.commit("one")
    assert source.choose(tag="", dirty=False) == source.Source(head)
    (repository.path / "new").write_text("x", encoding="utf-8")
    with pytest.raises(Failure) as found:
        source.choose(tag="", dirty=False)
    assert (found.value.code, found.value.evidence) == (ExitCode.PREFLIGHT, ("?? new",))
    first = source.choose(tag="", dirty=True).name
    assert first.startswith(f"{head}-dirty-")
    (repository.path / "new").write_text("y", encoding="utf-8")
    assert source.choose(tag="", dirty=True).name not in {first, head}
    (repository.path / os.fsdecode(b"caf\xe9")).write_text("a name that is no text", encoding="utf-8")
    assert source.choose(tag="", dirty=True).name.startswith(f"{head}-dirty-")


@pytest.mark.parametrize("committed", [False, True], ids=["new", "committed and written again"])
def test_what_terraform_init_writes_makes_nothing_dirty(repository: Repository, committed: bool) -> None:
    lock = repository.path / source.LOCK
    lock.parent.mkdir()
    if committed:
        lock.write_text("hashes\n", encoding="utf-8")
    head = repository.commit("one")
    lock.write_text("more hashes\n", encoding="utf-8")
    assert repository.git("status", "--porcelain") != ""
    assert source.choose(tag="", dirty=False) == source.Source(head)
    (repository.path / "new").write_text("x", encoding="utf-8")
    dirty = source.choose(tag="", dirty=True).name
    lock.write_text("yet more\n", encoding="utf-8")
    assert source.choose(tag="", dirty=True).name == dirty
    (lock.parent / "main.tf").write_text("x", encoding="utf-8")
    assert source.choose(tag="", dirty=True).name not in {dirty, head}


def test_a_tag_is_a_commit_or_another_name_for_what_is_here(repository: Repository) -> None:
    old, head = repository.commit("one"), repository.commit("two")
    repository.git("tag", "v1", old)
    assert source.choose(tag=head[:10], dirty=False) == source.Source(head)
    assert source.choose(tag="v1", dirty=False) == source.Source(old, here=False)
    assert source.choose(tag="blue", dirty=False) == source.Source("blue")
    with pytest.raises(Failure) as found:
        source.choose(tag="no spaces", dirty=False)
    assert found.value.code == ExitCode.USAGE


def test_boxel_5068_an_older_commit_is_refused_and_a_branch_of_its_own_is_not(repository: Repository) -> None:
    old, new = repository.commit("one"), repository.commit("two")
    with pytest.raises(Failure) as found:
        source.require_newer(new, old)
    assert found.value.code == ExitCode.PREFLIGHT
    assert "--allow-older" in found.value.next
    assert found.value.evidence[0].endswith("two")
    source.require_newer(old, new)
    source.require_newer(new, new)
    source.require_newer("not-a-commit", new)
    repository.git("checkout", "--quiet", "-b", "side", old)
    source.require_newer(new, repository.commit("three"))


def test_without_git_or_a_commit_a_release_has_no_name(repository: Repository) -> None:
    with pytest.raises(Failure, match="no checkout of git with a commit"):
        source.choose(tag="", dirty=False)


def test_a_commit_that_is_not_checked_out_needs_its_images(cloud: Cloud, repository: Repository) -> None:
    old = repository.commit("one")
    repository.commit("two")
    cloud.image("first")
    arguments = {"state": "released", "tag": old, "dirty": False, "allow_older": False, "lock_wait": 0.0, "to": ""}
    with pytest.raises(Failure) as found:
        lead.begin(cloud.context, arguments)
    assert found.value.what == f"{old[:12]} is not what is checked out here, and ECR has no images of it."
    assert found.value.code == ExitCode.PREFLIGHT


def test_a_commit_that_waited_while_a_newer_one_was_released_is_refused(
    repository: Repository, held: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = repository.commit("one"), repository.commit("two")
    repository.git("checkout", "--quiet", old)
    stopped: list[int] = []

    def wait(*_: object) -> dict[str, object]:
        held.context.releases.make_current(Manifest("1", "staging", new, "ann", ""))
        return {"token": "ours", "keeper": 7}

    monkeypatch.setattr(lead.account, "check", lambda _: "me")
    monkeypatch.setattr(lead.keeper, "start", wait)
    monkeypatch.setattr(lead.keeper, "stop", stopped.append)
    arguments = {"state": "released", "tag": "", "dirty": False, "to": "", "lock_wait": 60, "allow_older": False}
    with pytest.raises(Failure, match="is older than"):
        lead.begin(held.context, arguments)
    assert stopped == [7]
    assert lead.begin(held.context, {**arguments, "allow_older": True})["commit"] == old
