"""Whose a file is, as failures tell it: by an account that may not use it, and root that lacks its capabilities."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from stackhand.cli.failure import Failure
from stackhand.local.engines.embedded import launch
from stackhand.project import ownership
from tests import accounts
from tests.checkout import ROOT

assert launch  # read before another account, who may have no way to Python, would have to
FORK = multiprocessing.get_context("fork")
STRANGER = 42_427


@pytest.fixture
def root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of nobody's in a folder of root's that others may pass through, and not list."""
    accounts.require_root()
    place = folder / "home" / "my shop"
    place.mkdir(parents=True)
    folder.joinpath("home").chmod(0o711)
    owned(place)
    monkeypatch.setattr(ownership, "PROJECT", place)
    return place


def owned(path: Path, uid: int | None = None) -> Path:
    os.chown(path, pwd.getpwnam(accounts.NAME).pw_uid if uid is None else uid, -1)
    return path


def made(path: Path, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch()
    path.chmod(mode)
    return path


def seen_by(uid: int, path: Path) -> Failure:
    """Return what another account is told of a path; by a process of its own, for there is no way back."""
    receiving, sending = FORK.Pipe(duplex=False)

    def look() -> None:
        os.setgroups([])
        os.setgid(pwd.getpwnam(accounts.NAME).pw_gid)
        os.setuid(uid)
        sending.send(ownership.closed(path).document())

    child = FORK.Process(target=look)
    child.start()
    child.join(30)
    assert receiving.poll(), f"ended with {child.exitcode}"
    found = receiving.recv()
    return Failure.of(found)


def nobody(path: Path) -> Failure:
    return seen_by(pwd.getpwnam(accounts.NAME).pw_uid, path)


@pytest.mark.parametrize(
    ("theirs", "asked", "given_back"),
    [
        (".env", ".env", ".env"),
        (".stackhand/state.json", ".stackhand/state.json", ".stackhand"),
        (".stackhand", ".stackhand/logs/gone/at all", ".stackhand"),
        ("seeds/day one.sql", "seeds/day one.sql", "seeds/day one.sql"),
    ],
)
def test_a_file_of_roots_in_the_checkout_is_given_back(root: Path, theirs: str, asked: str, given_back: str) -> None:
    made(root / theirs)
    if theirs == ".stackhand":
        (root / theirs).unlink()
        (root / theirs).mkdir(mode=0o700)
    failure = nobody(root / asked)
    assert failure.what == f"{root / theirs} belongs to root, and you are {accounts.NAME}."
    place = f"'{root / given_back}'"
    assert failure.next == f"sudo chown -R {accounts.NAME}: {place}, or run the command with sudo"


def test_a_checkout_of_roots_is_given_back_and_nothing_above_it(root: Path) -> None:
    owned(root, 0)
    expected = f"sudo chown -R {accounts.NAME}: '{root}', or run the command with sudo"
    assert nobody(root).next == nobody(root / "gone" / "too").next == expected
    owned(made(root / ".env"))  # which is ours, and cannot be replaced there
    assert nobody(root / ".env").next == expected


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_parent_that_can_be_passed_is_never_the_reason(root: Path, mode: int) -> None:
    root.chmod(mode)
    for path in (root, root / ".env"):
        failure = nobody(path)
        assert failure.what == f"{accounts.NAME} has no access to {root}: its mode forbids it."
        assert failure.next == f"chmod -R u+rwX '{root}', then repeat the command"


@pytest.mark.parametrize("path", [Path("/etc/shadow"), Path("/etc/shadow.of/stackhand"), Path("/")])
def test_a_path_outside_the_checkout_is_named_without_a_command(root: Path, path: Path) -> None:
    failure = nobody(path)
    assert failure.what.endswith(f" belongs to root, and you are {accounts.NAME}.")
    assert not any(word in f"{failure.next} {failure.evidence}" for word in ("chown", "chmod", "sudo"))


def test_a_folder_that_bars_the_way_is_named_without_a_command(root: Path, folder: Path) -> None:
    (folder / "private" / "shop.env").parent.mkdir(mode=0o700)
    (root / ".env").symlink_to(folder / "private" / "shop.env")
    failure = nobody(folder / "private" / "shop.env")
    assert failure.what.startswith(f"{folder / 'private'} belongs to root")
    assert "chown" not in failure.next


def test_what_a_link_in_the_checkout_leads_to_is_not_taken(root: Path, folder: Path) -> None:
    (root / ".env").symlink_to(made(folder / "shop.env"))
    assert "chown" not in nobody(root / ".env").next


def test_a_checkout_below_a_folder_with_the_name_of_ours_stays_within_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.require_root()
    path = made(folder / ".venv" / "state")
    monkeypatch.setattr(ownership, "PROJECT", path.parent)
    assert nobody(path).next.startswith(f"sudo chown -R {accounts.NAME}: {path}, or")


def test_an_account_without_a_name_is_given_a_command_that_works(root: Path) -> None:
    failure = seen_by(STRANGER, made(root / ".env"))
    assert failure.what.endswith(f"and you are uid {STRANGER}.")
    assert failure.next.startswith(f"sudo chown -R {STRANGER}: ")


LESS = ["setpriv", "--bounding-set=-chown,-dac_override,-dac_read_search", "--inh-caps=-chown"]
HAND_OVER = """
import os, sys
from pathlib import Path
from stackhand.project import dotenv, ownership
from stackhand.project.state import State
root = Path(sys.argv[1])
with State(root).lock("up", 1, print):
    dotenv.write_text(root / ".env", "A=1\\n")
ownership.give(root, root / ".env")
try:
    os.chown(root / ".env", 1, 1)
except PermissionError as error:
    print(ownership.refused(error).text())
"""


def test_root_without_its_capabilities_keeps_what_it_cannot_hand_over(root: Path) -> None:
    root.chmod(0o777)
    (root / ".stackhand").mkdir()
    words = [*LESS, sys.executable, "-c", HAND_OVER, str(root)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (root / ".env").read_text() == "A=1\n"
    assert f"The system denies root access to {root / '.env'}." in done.stdout
    assert "CAP_CHOWN" in done.stdout


def test_root_is_sent_to_the_account_whose_stack_it_is(root: Path) -> None:
    failure = ownership.closed(owned(made(root / ".env")))
    assert failure.what == f"{root / '.env'} belongs to {accounts.NAME}, and you are root."
    assert failure.next == f"chown -R root: '{root / '.env'}', or run the command as {accounts.NAME}"


READ_ONLY = """
import sys
from pathlib import Path
from stackhand.project import ownership
print(ownership.closed(Path(sys.argv[1])).text())
"""


def test_a_file_system_that_is_read_only_is_no_matter_of_ownership(root: Path) -> None:
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" "$1"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", str(root), sys.executable, READ_ONLY]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "is on a read-only file system." in done.stdout, done.stderr
    assert "chown" not in done.stdout
