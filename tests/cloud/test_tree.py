"""What an image is built from: the files of the commit, all of them, and nothing that git ignores."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from stackhand.cli.failure import Failure
from stackhand.project.stack.model import Build, Service, Stack
from stackhand.project.stack.xaws import Fargate, Scale
from stackhand.release.images import build, checkout, source
from tests.cloud.repository import Repository
from tests.engines import use

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "shop")


def content(root: Path, commit: str, paths: Sequence[str] = (".",), *, dirty: bool = False) -> dict[str, str]:
    """Return what an export has, by name: the text, or where a link leads; with a star when it can be executed."""
    with checkout.exported(root, commit, paths, dirty=dirty) as folder:
        return dict(sorted(_entry(path, folder) for path in folder.rglob("*") if path.is_symlink() or path.is_file()))


def _entry(path: Path, folder: Path) -> tuple[str, str]:
    name = str(path.relative_to(folder))
    if path.is_symlink():
        return name, f"-> {path.readlink()}"
    return name + ("*" if path.stat().st_mode & 0o111 else ""), path.read_text(encoding="utf-8")


def test_a_commit_is_exported_whole_and_without_what_git_ignores_or_was_written_since(repository: Repository) -> None:
    repository.write(".gitignore", ".env\n")
    repository.write(".gitattributes", "kept export-ignore\n")
    repository.write("service/run").chmod(0o755)
    repository.write("kept")
    repository.write("nämé with spaces\n")
    (repository.path / "link").symlink_to("service/run")
    head = repository.commit("one")
    names = (".gitattributes", ".gitignore", "file", "kept", "link", "nämé with spaces\n", "service/run*")
    repository.write("service/.env", "TOKEN=secret")
    repository.write("new")
    repository.write("file", "changed")
    repository.git("update-index", "--assume-unchanged", "kept")
    repository.write("kept", "changed, and git is not to look")
    umask = os.umask(0o077)
    try:
        with checkout.exported(repository.path, head, ["."], dirty=False) as folder:
            modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, folder / "service", folder / "file")}
        found = content(repository.path, head)
    finally:
        os.umask(umask)
    assert tuple(found) == names
    assert (found["file"], found["kept"], found["link"]) == ("one", "x", "-> service/run")
    assert modes == {"export": 0o755, "service": 0o755, "file": 0o644}
    assert repository.git("status", "--porcelain") == "M file\n?? new"
    as_it_is = content(repository.path, head, dirty=True)
    assert set(as_it_is) == {*names, "new"}
    assert as_it_is["file"] == "changed"
    (repository.path / "file").unlink()
    assert "file" not in content(repository.path, head, dirty=True)


def test_only_the_folders_of_the_images_are_exported_where_they_are_in_a_repository_of_many(
    repository: Repository,
) -> None:
    for name in ("shop/service/app", "shop/web/page", "shared/lib/code", "other/huge"):
        repository.write(name)
    head = repository.commit("one")
    root = repository.path / "shop"
    assert set(content(root, head, ["service"])) == {"service/app"}
    for dirty in (False, True):
        with checkout.exported(root, head, ["service", "../shared"], dirty=dirty) as folder:
            assert folder.name == "shop"
            assert (folder / "../shared/lib/code").is_file()
            assert not (folder / "../other").exists()


def test_a_submodule_is_exported_as_the_commit_has_it_or_named_when_it_is_not_here(
    repository: Repository, tmp_path: Path
) -> None:
    library = Repository(tmp_path / "library")
    library.write(".gitignore", "ignored\n")
    library.commit("of the library")
    repository.git("submodule", "--quiet", "add", str(library.path), "library")
    head = repository.commit("one")
    inner = repository.path / "library"
    (inner / "ignored").write_text("x", encoding="utf-8")
    clean = checkout.digest(repository.path, ["."])
    (inner / "file").write_text("changed", encoding="utf-8")
    assert content(repository.path, head)["library/file"] == "of the library"
    changed = content(repository.path, head, dirty=True)
    assert (changed["library/file"], "library/ignored" in changed) == ("changed", False)
    (inner / "new").write_text("x", encoding="utf-8")
    digests = {clean, checkout.digest(repository.path, ["."])}
    (inner / "new").write_text("y", encoding="utf-8")
    assert len({*digests, checkout.digest(repository.path, ["."])}) == 3

    library.write("part/Dockerfile", "FROM scratch")
    library.commit("with a part")
    (inner / "new").unlink()
    repository.git("-C", "library", "checkout", "--quiet", ".")
    repository.git("-C", "library", "pull", "--quiet")
    head = repository.commit("two")
    for dirty in (False, True):  # a build may see a folder inside it
        assert set(content(repository.path, head, ["library/part"], dirty=dirty)) == {"library/part/Dockerfile"}

    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", str(repository.path), str(clone))
    with pytest.raises(Failure, match="The submodule library is not in this clone") as found:
        content(clone, head)
    assert found.value.next.startswith("git submodule update --init --recursive")
    assert set(content(clone, head, ["file"])) == {"file"}


def test_a_file_of_git_lfs_is_never_built_into_an_image_as_its_pointer(repository: Repository) -> None:
    repository.write("fixture.txt", POINTER)
    head = repository.commit("a text that looks like one")
    assert content(repository.path, head)["fixture.txt"] == POINTER
    repository.write(".gitattributes", "*.bin filter=lfs\n")
    repository.write("model.bin", POINTER)
    head = repository.commit("a pointer")
    for dirty in (False, True):
        with pytest.raises(Failure, match="1 files are bare Git LFS pointers") as found:
            content(repository.path, head, dirty=dirty)
        assert (found.value.evidence, "git lfs pull" in found.value.next) == (("model.bin",), True)
    repository.git("config", "filter.lfs.smudge", "sed s/version.*/content/")
    assert content(repository.path, head)["model.bin"].startswith("content\n")


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["web", "service", "./service", "service/inner"], ["service", "web"]),
        ([".", "service", "../shared"], [".", "../shared"]),
        (["..", "service"], ["..", "service"]),
    ],
)
def test_folders_are_named_once(paths: list[str], wanted: list[str]) -> None:
    assert checkout.below(paths) == wanted


@pytest.mark.compose
def test_an_image_has_what_the_commit_has(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PROJECT", repository.path)
    monkeypatch.setattr(build, "PROJECT", repository.path)
    wanted = Build(str(repository.path / "service"), args={"FLAVOUR": "plain"})
    service = Service("own", None, wanted, [], {}, (), (), "no", False, False, None, None, None)
    monkeypatch.setattr(build.compose, "stack_of", lambda root: Stack("shop", root, {"own": service}))
    repository.write(".gitignore", ".env\ndist\n")
    repository.write("service/Dockerfile", "FROM scratch\nARG FLAVOUR\nCOPY . /${FLAVOUR}/\n")
    repository.write("service/.dockerignore", "Dockerfile\nnotes\n")
    for name in ("service/app", "service/notes", "service/.env"):
        repository.write(name)
    head = repository.commit("one")
    with use("compose"):
        assert names_in_image(head) == {"plain/.dockerignore", "plain/app"}
        repository.write("service/new")
        dirty = source.choose(tag="", dirty=True).commit
        assert names_in_image(dirty) == {"plain/.dockerignore", "plain/app", "plain/new"}
        repository.write("service/new", "changed meanwhile")
        with pytest.raises(Failure, match="Files in this checkout changed since the deploy started"):
            names_in_image(dirty)
        repository.write("service/dist/bundle")
        repository.write("service/Dockerfile", "FROM scratch\nCOPY dist /dist\n")
        with pytest.raises(Failure, match="it needs a file that git does not have") as found:
            names_in_image(repository.commit("two"))
    assert found.value.evidence == ("dist is in this checkout, but not in its commit",)


def names_in_image(commit: str) -> set[str]:
    """Build the image of a commit, and return the files it has."""
    image = f"sh-tree-test:{commit}"
    try:
        assert list(build.build({"own": "sh-tree-test"}, commit, "X86_64", lambda _: None)) == ["own"]
        saved = subprocess.run(["docker", "save", image], check=True, capture_output=True, timeout=60).stdout
    finally:
        subprocess.run(["docker", "rmi", "--force", image], check=False, capture_output=True, timeout=60)
    found: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(saved)) as outer:
        for member in outer.getmembers():
            stream = outer.extractfile(member) if member.isfile() else None
            data = stream.read() if stream else b""
            try:
                with tarfile.open(fileobj=io.BytesIO(data)) as layer:
                    found |= {each.name for each in layer.getmembers() if each.isfile()}
            except tarfile.ReadError:
                continue
    return found


def test_what_is_not_released_needs_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def service(context: str, aws: Fargate | None) -> Service:
        return Service(context, None, Build(context), [], {}, (), (), "no", False, False, None, None, aws)

    services = {
        "a": service("../shared/api", Fargate(80, 256, 512, Scale(1, 2, 60, 70))),
        "b": service("../../tools", None),
    }
    monkeypatch.setattr(build.compose, "stack_of", lambda root: Stack("shop", root, services))
    assert source.sources() == [".", "../shared/api"]
