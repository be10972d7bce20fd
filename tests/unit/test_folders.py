"""What root does in the folders of the services' accounts, and in somebody's checkout: no link leads it elsewhere."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stackhand.local.engines.embedded import accounts, folders
from stackhand.local.engines.embedded.accounts import NUMBERS, Account
from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.local.engines.embedded.servers import server_for
from stackhand.project import ownership
from stackhand.project.stack import loading
from stackhand.project.state import State
from tests.accounts import NAME, require_root
from tests.checkout import ROOT

NUMBER = NUMBERS[7]
SERVICE = Account(NUMBER, NUMBER)


@pytest.fixture
def attacker() -> int:
    """The account that owned the folder, and has planted what is in it."""
    require_root()
    return pwd.getpwnam(NAME).pw_uid


@pytest.fixture
def target(folder: Path) -> Path:
    path = folder / "shadow"
    path.write_text("root's own\n")
    path.chmod(0o640)
    return path


@pytest.fixture
def data(folder: Path, attacker: int, target: Path) -> Path:
    """A folder of the attacker's, with links of each kind to a file of root's, and two files of its own."""
    path = folder / "redis"
    (path / "sub").mkdir(parents=True)
    (path / "dump.rdb").write_text("data")
    (path / "sub" / "aof").write_text("data")
    (path / "link").symlink_to(target)
    (path / "sub" / "folder").symlink_to(folder)
    (path / "again").hardlink_to(target)
    os.mkfifo(path / "pipe")
    for each in (path, *path.rglob("*")):
        if each.name != "again":
            os.chown(each, attacker, attacker, follow_symlinks=False)
    return path


def known(path: Path) -> tuple[int, int, int, str]:
    found = path.stat()
    return found.st_uid, found.st_gid, found.st_mode, path.read_text()


def written(data: Path) -> None:
    folders.write(data / "link", b"mine", SERVICE)


def written_over_a_planted_draft(data: Path) -> None:
    (data / ".conf.new").symlink_to(data.parent / "shadow")
    folders.write(data / "conf", b"mine", SERVICE)


def handed_over(data: Path) -> None:
    root = data.parent / "shop"
    data.rename(root)
    ownership.hand_over(root, root.iterdir())
    ownership.hand_over(root, [root / "sub" / "folder" / "shadow"])
    ownership.give(root, root / "sub" / "folder" / "shadow")
    ownership.give(root, root / "again")


DONE: dict[str, Callable[[Path], None]] = {
    "made": lambda data: folders.make(data, SERVICE),
    "written": written,
    "written over a planted draft": written_over_a_planted_draft,
    "handed over": handed_over,
}


@pytest.mark.parametrize("done", DONE.values(), ids=DONE)
def test_what_a_link_leads_to_stays(data: Path, target: Path, folder: Path, done: Callable[[Path], None]) -> None:
    before, above = known(target), folder.stat().st_uid
    done(data)
    assert known(target) == before
    assert folder.stat().st_uid == above


def test_a_services_own_files_are_given_to_its_account(data: Path) -> None:
    folders.make(data, SERVICE)
    assert {each.lstat().st_uid for each in (data, data / "dump.rdb", data / "sub", data / "sub" / "aof")} == {NUMBER}
    assert data.stat().st_mode & 0o777 == 0o700


def test_folders_nested_without_end_are_measured_given_and_removed(
    data: Path, target: Path, attacker: int, folder: Path
) -> None:
    state = State(folder)
    state.make()
    state.make_run()
    (state.run / "postgres").mkdir()
    nest = "import os\nfor _ in range(1800): os.mkdir('ddddd'); os.chdir('ddddd')"
    for place in (data / "sub", state.run / "postgres"):
        subprocess.run([sys.executable, "-c", nest], cwd=place, check=True)
        subprocess.run(["chown", "-Rh", str(attacker), str(place)], check=True)
    data.rename(state.data / "redis")
    [kept] = EmbeddedEngine(state).data()
    assert kept.size
    folders.make(state.data / "redis", SERVICE)
    assert EmbeddedEngine(state).down(volumes=True) == []
    assert not state.data.exists()
    assert not state.run.exists()
    assert target.exists()


def test_a_link_in_the_place_of_a_folder_is_refused(data: Path, folder: Path) -> None:
    (folder / "moved").symlink_to(data)
    with pytest.raises(OSError, match="moved"):
        folders.make(folder / "moved", SERVICE)
    with pytest.raises(OSError, match="moved"):
        folders.write(folder / "moved" / "conf", b"", SERVICE)


def test_configuration_is_read_by_its_service_and_written_by_root_only(folder: Path) -> None:
    require_root()
    path = folder / "config" / "redis.conf"
    path.parent.parent.mkdir(exist_ok=True)
    assert folders.write(path, b"one", SERVICE)
    assert not folders.write(path, b"one", SERVICE)
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (0, NUMBER, 0o640)
    assert (path.parent.stat().st_uid, path.parent.stat().st_mode & 0o777) == (0, 0o750)


@pytest.mark.parametrize("name", ["link", "pipe", "sub", "gone"])
def test_only_a_file_is_read(data: Path, name: str) -> None:
    with folders.opened(data) as descriptor:
        assert folders.read(name, descriptor, 10) is None
        assert folders.read("dump.rdb", descriptor, 10) == b"data"


def test_each_service_has_a_number_that_is_nobodys_and_keeps_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"service{number}" for number in range(50)]
    found = accounts.numbers(folder, folder / "data", names)
    assert found == accounts.numbers(folder, folder / "data", reversed(names))
    assert len(set(found.values())) == len(names)
    assert set(found.values()) <= set(NUMBERS)
    assert found != accounts.numbers(folder / "other", folder / "data", names)
    taken = found["service3"]
    monkeypatch.setattr(accounts, "_in_use", lambda number: number == taken)
    assert accounts.numbers(folder, folder / "data", names)["service3"] != taken


def test_who_owns_the_data_keeps_it(folder: Path, attacker: int) -> None:
    owners = {"redis": NUMBERS[5], "web": NUMBERS[5], "api": attacker}
    for name, owner in owners.items():
        (folder / name).mkdir()
        os.chown(folder / name, owner, owner)
    found = accounts.numbers(folder, folder, owners)
    assert NUMBERS[5] in {found["redis"], found["web"]}
    assert found["redis"] != found["web"]
    kept = accounts.choose(folder / "redis", (), found["redis"])
    moved = accounts.choose(folder / "api", (), found["api"])  # of one that other servers had as well
    assert [each and each.uid for each in (kept, moved)] == [found["redis"], found["api"]]
    assert found["api"] in NUMBERS


def test_a_command_that_is_refused_a_file_is_told_what_it_may(folder: Path) -> None:
    require_root()
    (folder / "docker-compose.yml").write_text(
        "name: shop\nservices: {job: {image: job, x-embedded: {command: job}}}\n"
    )
    stack = loading.load(folder, {})
    server = server_for(stack.services["job"], stack, State(folder))
    [hint] = server.hints(["PermissionError: [Errno 13] Permission denied: 'cache.db'"])
    assert hint.endswith(f"writes only below {folder}/.stackhand/data/job and /tmp")
    assert server.hints(["no such table"]) == []


CHOOSE = """
import json, sys
from pathlib import Path
from stackhand.local.engines.embedded import accounts
from stackhand.cli.failure import Failure
try:
    found = accounts.choose(Path(sys.argv[1]), [Path(sys.argv[2])], 61200)
    print(json.dumps([found.prefix[0].rpartition("/")[2], found.blocked]))
except Failure as failure:
    print(json.dumps([failure.what, failure.next]))
"""


@pytest.mark.parametrize(
    ("missing", "mode", "first", "second"),
    [
        ("", 0o755, "python", ""),
        ("sys_admin", 0o755, "setpriv", "{closed}"),
        ("", 0o700, "setpriv", "{inner}"),  # it can be shown, and is closed all the same
        (
            "sys_admin,-dac_read_search",
            0o755,
            "uid 61200, which must run one, cannot enter {closed}",
            "chmod o+x {closed}",
        ),
    ],
)
def test_a_right_of_roots_is_given_where_there_is_no_other_way(
    folder: Path, missing: str, mode: int, first: str, second: str
) -> None:
    require_root()
    closed, inner = folder / "closed", folder / "closed" / "shop"
    inner.mkdir(parents=True)
    inner.chmod(mode)
    closed.chmod(0o700)
    less = ["setpriv", f"--bounding-set=-{missing}"] if missing else []
    words = [*less, sys.executable, "-c", CHOOSE, str(folder / "data"), str(inner)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert first.format(closed=closed) in found[0]
    assert found[1] == second.format(closed=closed, inner=inner)
