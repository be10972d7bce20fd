"""What only the embedded engine has to do, for containers have no such paths and no such gaps."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from stackhand.system import ports
from tests.checkout import Checkout
from tests.leaks import Leaks

pytestmark = pytest.mark.slow
LEAVES_A_CHILD = """
  shy:
    image: python:3.13-alpine
    ports: ["127.0.0.1:{port}:8000"]
    x-health: /
    x-embedded: {{command: [sh, -c, "python -m http.server $$PORT --bind 127.0.0.1 --directory web & wait"]}}
"""


def test_up_leaves_a_service_out_that_says_nothing_about_this_engine(checkout: Checkout) -> None:
    mail = f"""
  mail:
    image: mail:1
    ports: ["127.0.0.1:{checkout.spare}:80"]
    x-health: /
"""
    checkout.edit("docker-compose.yml", "\nvolumes:\n", f"{mail}\nvolumes:\n")
    with socket.create_server(("127.0.0.1", checkout.spare)):  # its port may be taken: it is not wanted
        said = checkout.inv("up").out
        ports_of = [each for each in checkout.inv("doctor", "--json").json["checks"] if each["category"] == "ports"]
    assert {each["status"] for each in ports_of} == {"pass"}
    assert "skipped, for lack of x-embedded: mail" in said
    assert "mail" not in checkout.services()
    assert "mail" not in checkout.ask("/health/all")[1]["checks"]
    before = checkout.pid("api")
    said = checkout.inv("restart", "mail", check=False)
    assert said.code == 2
    assert "mail does not run on this engine: it has no x-embedded." in said.err
    assert checkout.pid("api") == before


def test_a_service_leaves_nothing_behind_stopped_or_taken_out_of_the_file(checkout: Checkout) -> None:
    checkout.ports["SHY_PORT"] = checkout.spare  # which the look for leaks then minds, too
    usual = LEAVES_A_CHILD.format(port=checkout.spare)
    slow_to_end = LEAVES_A_CHILD.replace("& wait", "& trap 'sleep 4; exit' TERM; wait").format(port=checkout.spare)
    checkout.edit("docker-compose.yml", "\nvolumes:\n", f"{usual}\nvolumes:\n")
    checkout.inv("up")
    assert "shy" in checkout.inv("restart", "shy").out
    checkout.inv("down")
    assert ports.is_free(checkout.spare)

    checkout.edit("docker-compose.yml", usual, slow_to_end)
    checkout.inv("up")
    before = checkout.pid("postgres")
    checkout.edit("docker-compose.yml", slow_to_end, "")
    checkout.inv("up")
    assert checkout.pid("postgres") == before
    assert ports.is_free(checkout.spare)


def test_down_in_a_copy_of_a_running_checkout_leaves_the_first_alone(stack: Checkout, folder: Path) -> None:
    shutil.copytree(stack.path, folder / "copy", symlinks=True, ignore=_sockets)
    copy = Checkout(folder / "copy", stack.ports)
    assert "is not running" in copy.inv("down").out
    assert stack.ask("/health/ready")[0] == 200
    assert {each["state"] for each in stack.services().values()} == {"healthy", "done"}


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]


@pytest.mark.parametrize("name", ["späces and ümlauts/" + "long" * 25, "a #1 ;)"])
def test_a_path_with_letters_that_mean_something_elsewhere_or_too_long_for_a_socket_works(
    folder: Path, name: str
) -> None:
    deep = folder / name / "my shop"
    checkout = Checkout.make(deep)
    leaks = Leaks(checkout)
    checkout.inv("up")
    assert checkout.ask("/health/ready")[0] == 200
    assert checkout.ask("/", "WEB_PORT")[0] == 200
    assert checkout.inv("db.shell", stdin="SELECT 42").out.split()[2] == "42"
    checkout.inv("down")
    leaks.check()


def test_a_snapshot_is_brought_back_for_another_role(stack: Checkout) -> None:
    before = stack.setting("POSTGRES_USER")
    stack.inv("db.shell", stdin="CREATE TABLE handed_on AS SELECT 7 AS seven")
    stack.inv("db.snapshot", "of-another")
    stack.env(POSTGRES_USER="newcomer")
    stack.inv("up")
    stack.inv("db.restore", "of-another", "--yes")
    rows = "SELECT seven, tableowner, current_user FROM handed_on, pg_tables WHERE tablename = 'handed_on'"
    assert stack.inv("db.shell", stdin=rows).out.splitlines()[2].split() == ["7", "|", "newcomer", "|", "newcomer"]
    stack.env(POSTGRES_USER=before)
    stack.inv("up")


def test_a_database_of_the_longest_name_or_named_postgres_is_emptied_and_brought_back(stack: Checkout) -> None:
    before = stack.setting("POSTGRES_DB")
    for name in ("postgres", "x" * 63):
        stack.env(POSTGRES_DB=name)
        stack.inv("up")
        stack.inv("db.shell", stdin="CREATE TABLE kept AS SELECT 7 AS seven")
        stack.inv("db.snapshot", f"of-{len(name)}")
        stack.inv("db.reset", "--yes")
        assert "does not exist" in stack.inv("db.shell", stdin="SELECT * FROM kept", check=False).err, name
        stack.inv("db.restore", f"of-{len(name)}", "--yes")
        assert stack.inv("db.shell", stdin="SELECT * FROM kept").out.split()[2] == "7", name
    stack.env(POSTGRES_DB=before)
    stack.inv("up")
