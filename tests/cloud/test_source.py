"""What is to be released: a commit, told by git, and never an older one by accident."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.release.heartbeat import Held
from stackhand.release.images import build, registry, source
from stackhand.release.manifest import Manifest, ReleasedService
from stackhand.release.stages import acquire, known_migrations
from stackhand.release.target import parse, target_of
from tests.cloud.conftest import Cloud
from tests.cloud.repository import Repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    found = Repository(tmp_path / "shop")
    monkeypatch.setattr(source, "PROJECT", found.path)
    monkeypatch.setattr(source, "sources", lambda: ["."])
    return found


def test_a_release_is_called_by_its_commit_and_a_dirty_one_by_what_differs(repository: Repository) -> None:
    head = repository.commit("one")
    assert source.choose(tag="", dirty=False) == source.Source(head)
    (repository.path / "new").write_text("x", encoding="utf-8")
    with pytest.raises(Failure) as found:
        source.choose(tag="", dirty=False)
    assert (found.value.code, found.value.evidence) == (ExitCode.PREFLIGHT, ("?? new",))
    first = source.choose(tag="", dirty=True).commit
    assert first.startswith(f"{head}-dirty-")
    (repository.path / "new").write_text("y", encoding="utf-8")
    assert source.choose(tag="", dirty=True).commit not in {first, head}
    (repository.path / os.fsdecode(b"caf\xe9")).write_text("a name that is no text", encoding="utf-8")
    assert source.choose(tag="", dirty=True).commit.startswith(f"{head}-dirty-")


def test_a_tag_is_a_commit_or_another_name_for_what_is_here(repository: Repository) -> None:
    old, head = repository.commit("one"), repository.commit("two")
    repository.git("tag", "v1", old)
    assert source.choose(tag=head[:10], dirty=False) == source.Source(head)
    assert source.choose(tag="v1", dirty=False) == source.Source(old, here=False)
    assert source.choose(tag="blue", dirty=False) == source.Source(head, "blue")
    repository.git("tag", "v2", head)
    assert source.choose(tag="v2", dirty=False) == source.Source(head, "v2")
    for number in (old[:3], head[:1]):  # as the number of a run may begin a commit
        assert source.choose(tag=number, dirty=False) == source.Source(head, number)
    repository.git("branch", "staging", old)
    with pytest.raises(Failure, match="--tag staging is a branch") as branch:
        source.choose(tag="staging", dirty=False)
    assert branch.value.code == ExitCode.USAGE
    with pytest.raises(Failure) as found:
        source.choose(tag="no spaces", dirty=False)
    assert found.value.code == ExitCode.USAGE


def test_boxel_5068_an_older_commit_is_refused_and_a_branch_of_its_own_is_not(repository: Repository) -> None:
    old, new = repository.commit("one"), repository.commit("two")
    with pytest.raises(Failure) as found:
        source.require_newer(new, old, "staging")
    assert found.value.code == ExitCode.PREFLIGHT
    assert "--allow-older" in found.value.next
    assert found.value.evidence[0].endswith("two")
    assert source.require_newer(old, new, "staging") == source.require_newer(new, new, "staging") == ""
    repository.git("checkout", "--quiet", "-b", "side", old)
    third = repository.commit("three")
    said = f"{third[:12]} is on another branch than the running {new[:12]}, and lacks 1 commit of it"
    assert source.require_newer(new, third, "staging") == said


@pytest.mark.parametrize(
    ("running", "wanted", "what", "advice"),
    [
        (
            "f" * 40,
            "HEAD",
            "The running commit ffffffffffff is not in this clone, so",
            "git fetch, then repeat the command; or ",
        ),
        ("f" * 40 + "-dirty-abc", "HEAD", "The running commit ffffffffffff is not in this clone, so", "git fetch, "),
        ("hotfix", "HEAD", "The running commit hotfix is not a git commit, so", "--allow-older, to"),
        ("HEAD", "blue", "blue is not a git commit, so", "--allow-older, to"),
    ],
)
def test_what_cannot_be_compared_is_not_released_by_accident(
    repository: Repository, running: str, wanted: str, what: str, advice: str
) -> None:
    head = repository.commit("one")
    repository.git("tag", "hotfix")
    with pytest.raises(Failure) as found:
        source.require_newer(running.replace("HEAD", head), wanted.replace("HEAD", head), "staging")
    assert found.value.what.startswith(what)
    assert found.value.next.startswith(advice)
    assert "--allow-older" in found.value.next
    assert found.value.code == ExitCode.PREFLIGHT


def test_a_shallow_clone_says_how_to_have_the_history(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    old = repository.commit("one")
    other = repository.commit("two")
    repository.git("checkout", "--quiet", "-b", "side", old)
    head = repository.commit("three")
    clone = repository.path.parent / "clone"
    repository.git("clone", "--quiet", "--depth", "1", repository.path.as_uri(), str(clone))
    monkeypatch.setattr(source, "PROJECT", clone)
    for running, what in ((other, "is not in this clone"), (old, "is not in this clone")):
        with pytest.raises(Failure, match=what) as found:
            source.require_newer(running, head, "staging")
        assert "git fetch --unshallow (fetch-depth: 0 in a workflow), " in found.value.next
    subprocess.run(["git", "fetch", "--quiet", "--depth", "1", "origin", other], cwd=clone, check=True)
    with pytest.raises(Failure, match="This clone is shallow: its history does not show") as found:
        source.require_newer(other, head, "staging")
    assert "git fetch --unshallow" in found.value.next


def test_what_is_no_checkout_is_named_with_what_helps(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = repository.path.parent
    bare = folder / "bare"
    with pytest.raises(Failure, match="has no commit yet, so a release has no commit") as found:
        source.choose(tag="", dirty=False)
    assert found.value.next == "git add and git commit; or release images that are already in ECR with --tag NAME"
    repository.commit("one")
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(bare))
    for place, what in ((folder, "is not in a git repository"), (bare, "is in a bare repository, which has no files")):
        monkeypatch.setattr(source, "PROJECT", place)
        with pytest.raises(Failure, match=what) as found:
            source.choose(tag="", dirty=False)
        assert "deploy from a clone of" in found.value.next
        assert source.choose(tag="blue", dirty=False) == source.Source("blue", "blue", here=False)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(Failure, match="There is no git command"):
        source.choose(tag="", dirty=False)
    assert source.choose(tag="blue", dirty=False) == source.Source("blue", "blue", here=False)


def test_a_checkout_of_another_user_is_named_with_the_command_that_helps(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("one")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("STACKHAND_PASS", "GIT_TEST_ASSUME_DIFFERENT_OWNER")
    for tag in ("", "blue"):
        with pytest.raises(Failure, match="belongs to another user") as found:
            source.choose(tag=tag, dirty=False)
        assert found.value.next == f"git config --global --add safe.directory {repository.path}"


def test_a_worktree_is_a_checkout_and_a_folder_looks_at_its_own_paths(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write("shop/app")
    head = repository.commit("one")
    tree = repository.path.parent / "tree"
    repository.git("worktree", "add", "--quiet", str(tree))
    (tree / "beside").write_text("x", encoding="utf-8")
    monkeypatch.setattr(source, "PROJECT", tree / "shop")
    assert source.choose(tag="", dirty=False) == source.Source(head)
    with pytest.raises(Failure, match="uncommitted changes"):
        source.choose(tag="", dirty=False, folders=[".", "../beside"])
    with pytest.raises(Failure, match="a folder outside this repository"):
        source.choose(tag="", dirty=False, folders=[".", "../../elsewhere"])
    (tree / "shop" / "app").write_text("changed", encoding="utf-8")
    with pytest.raises(Failure, match="uncommitted changes"):
        source.choose(tag="", dirty=False)


def test_what_was_left_rolling_runs_too(repository: Repository, held: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    first, old, new = (repository.commit(words) for words in ("one", "two", "three"))
    held.context.releases.make_current(Manifest("1", "staging", first, "ann", ""))
    rolling = Manifest("2", "staging", new, "bob", "", services={"api": ReleasedService("api:2", "x", deployment="d")})
    held.context.releases.write(rolling.but(rolled=True))
    repository.git("checkout", "--quiet", old)
    monkeypatch.setattr(acquire.account, "check", lambda _: "me")
    with pytest.raises(Failure, match="is older than"):
        acquire.begin(held.context, begin(""))


def test_the_migrations_of_a_release_are_those_of_its_commit(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_migrations, "PROJECT", repository.path)
    repository.write("migrations/001_one.sql", "SELECT 1")
    old = repository.commit("one")
    repository.write("migrations/002_two.sql", "SELECT 2")
    head = repository.commit("two")
    found = {}
    for commit in (old, head, f"{head}{source.DIRTY}0123", "a-name"):
        with known_migrations.files_of(commit, "migrations") as folder:
            found[commit] = sorted(path.name for path in (folder / "migrations").iterdir())
    assert [len(each) for each in found.values()] == [1, 2, 2, 2]
    with (
        pytest.raises(Failure, match="its migrations are unknown"),
        known_migrations.files_of("c0ffee" * 6 + "c0ff", "migrations"),
    ):
        pass
    with known_migrations.files_of(old, "elsewhere") as folder:
        assert folder == repository.path


def test_a_commit_that_is_not_checked_out_needs_its_images(cloud: Cloud, repository: Repository) -> None:
    old = repository.commit("one")
    repository.commit("two")
    cloud.image("first")
    with pytest.raises(Failure) as found:
        acquire.begin(cloud.context, begin(old))
    assert found.value.what == f"{old[:12]} is not checked out here, and ECR has no images of it."
    assert found.value.code == ExitCode.PREFLIGHT


def test_a_commit_that_waited_while_a_newer_one_was_released_is_refused(
    repository: Repository, held: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = repository.commit("one"), repository.commit("two")
    repository.git("checkout", "--quiet", old)
    stopped: list[int] = []

    def wait(*_: object) -> Held:
        held.context.releases.make_current(Manifest("1", "staging", new, "ann", ""))
        return Held({"token": "ours"}, 7)

    monkeypatch.setattr(acquire.account, "check", lambda _: "me")
    monkeypatch.setattr(acquire.heartbeat, "start", wait)
    monkeypatch.setattr(acquire.heartbeat, "stop", stopped.append)
    with pytest.raises(Failure, match="is older than"):
        acquire.begin(held.context, begin(""))
    assert stopped == [7]
    assert acquire.begin(held.context, begin("", allow_older=True)).commit == old


def begin(tag: str, **more: Any) -> acquire.Request:
    return acquire.Request(environment="staging", kind="deploy", tag=tag, **more)


@pytest.fixture
def released(repository: Repository, held: Cloud, monkeypatch: pytest.MonkeyPatch) -> str:
    """The commit that is checked out, whose images are in ECR, and which runs."""
    head = repository.commit("one")
    held.image(head)
    held.context.releases.make_current(Manifest("1", "staging", head, "ann", "", target=held.output))
    monkeypatch.setattr(acquire.account, "check", lambda _: "me")
    monkeypatch.setattr(acquire.heartbeat, "start", lambda *_: Held({"token": "ours"}, 7))
    return head


def ensure(cloud: Cloud, commit: str, name: str) -> None:
    build.ensure(
        cloud.environment,
        parse(cloud.output).repositories(),
        commit,
        name=name,
        architecture="X86_64",
        notify=lambda _: None,
    )


def test_a_name_is_a_tag_more_of_the_images_of_its_commit_and_stays_with_it(
    repository: Repository, held: Cloud, released: str
) -> None:
    name = f"hotfix-{released[:8]}"
    found = acquire.begin(held.context, begin(name))
    assert (found.commit, found.name) == (released, name)
    ensure(held, released, name)
    ensure(held, released, name)
    assert acquire.begin(held.context, begin(name)).commit == released
    later = repository.commit("two")
    with pytest.raises(Failure) as failure:
        acquire.begin(held.context, begin(name))
    assert failure.value.what == f"{name} already names {released[:12]}, but this is {later[:12]}."
    assert failure.value.next == f"use another --tag, or none; --tag {released[:12]} releases the earlier code again"
    held.image(later)
    with pytest.raises(Failure, match="already names"):
        ensure(held, later, name)


def test_without_git_a_name_that_ecr_knows_is_released_as_the_commit_it_is_of(
    repository: Repository, held: Cloud, released: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"kept-{released[:8]}"
    ensure(held, released, name)
    monkeypatch.setattr(source, "PROJECT", repository.path.parent)
    assert acquire.begin(held.context, begin(name)).commit == released
    with pytest.raises(Failure, match="none is not checked out here, and ECR has no images of it") as failure:
        acquire.begin(held.context, begin("none"))
    assert failure.value.next == "deploy from a clone of the repository, without --tag"


def test_images_of_which_nobody_knows_the_commit_are_released_only_when_that_is_meant(
    held: Cloud, released: str
) -> None:
    name = f"built-elsewhere-{released[:8]}"
    held.image(name)
    with pytest.raises(Failure, match="of an unknown commit") as failure:
        acquire.begin(held.context, begin(name))
    assert "--allow-older" in failure.value.next
    assert acquire.begin(held.context, begin(name, allow_older=True)).commit == name


def test_a_branch_that_replaces_another_is_told_once(repository: Repository, held: Cloud, released: str) -> None:
    repository.git("checkout", "--quiet", "--orphan", "side")
    head = repository.commit("three")
    told: list[str] = []
    held.context.note = told.append
    assert acquire.begin(held.context, begin("")).commit == head
    assert [line.partition(",")[0] for line in told] == [
        f"{head[:12]} is on another branch than the running {released[:12]}"
    ]


def test_an_ecr_that_answers_with_an_empty_list_has_no_such_image(held: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty:
        def describe_images(self, **_: object) -> dict[str, object]:
            return {"imageDetails": []}

        def get_authorization_token(self) -> dict[str, object]:
            return {"authorizationData": []}

    service = target_of(Manifest("1", "staging", "c", "ann", "", target=held.output)).services["api"]
    monkeypatch.setattr(type(held.environment), "client", lambda *_: Empty())
    assert registry.digest_of(held.environment, service, "c") == ""
    with pytest.raises(Failure, match="ECR gave no password"), build._logged_in(held.environment, "x"):
        pass
