"""A stack of root's in somebody's checkout, started with little: who may not look is told whose it is."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests import accounts
from tests.checkout import Checkout, clean_environment

pytestmark = pytest.mark.slow
FEW = "setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource"  # or root would raise the limit again
LITTLE = f"umask 077; ulimit -n 256; exec {FEW} ./inv up --engine embedded"


@pytest.fixture
def shared(checkout: Checkout) -> Checkout:
    """A checkout of nobody's, in which root has started the stack with a closed umask and few descriptors."""
    accounts.give(checkout)
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is needed to be another account")
    words = ["sh", "-c", LITTLE]
    subprocess.run(words, cwd=checkout.path, env=clean_environment(), check=True, capture_output=True, timeout=120)
    return checkout


def test_what_root_started_is_told_to_the_owner_of_the_checkout(shared: Checkout) -> None:
    assert shared.ask("/health/ready")[0] == 200
    for words in (["status"], ["up"], ["down"], ["restart"]):
        said = accounts.inv(shared, *words)
        assert said.code == 3, words
        assert f"The stack of this checkout runs as root, and you are {accounts.NAME}." in said.err
        assert f"sudo ./inv down, then sudo chown -R {accounts.NAME}: {shared.state}" in said.err
    doctor = accounts.inv(shared, "doctor").out
    assert "The stack of this checkout runs as root" in doctor
    assert "the check itself broke" not in doctor
    assert "listening on IPv4 address" in accounts.inv(shared, "logs", "postgres").out
    assert (shared.path / ".env").owner() == accounts.NAME

    shared.inv("down")
    assert accounts.inv(shared, "status").code == 4
    said = accounts.inv(shared, "up", "--engine", "embedded")
    assert said.code == 3
    assert f"belongs to postgres, and you are {accounts.NAME}." in said.err or "belongs to nobody" in said.err
    assert f"next: sudo chown -R {accounts.NAME}: {shared.state}" in said.err


def test_state_that_may_not_be_read_is_not_taken_for_none(checkout: Checkout) -> None:
    checkout.state.mkdir(mode=0o700)
    accounts.give(checkout)
    subprocess.run(["chown", "root:root", str(checkout.state)], check=True)
    for words in (["status"], ["logs"], ["up"]):
        said = accounts.inv(checkout, *words)
        assert said.code == 3, words
        assert f"{checkout.state} belongs to root, and you are {accounts.NAME}." in said.err
        assert f"next: sudo chown -R {accounts.NAME}: {checkout.state}, or run the command with sudo" in said.err


def test_an_account_without_a_name_and_a_home_falls_back_to_embedded_and_is_told(checkout: Checkout) -> None:
    accounts.require_root()
    subprocess.run(["chown", "-Rh", "42427:42427", str(checkout.path)], check=True)
    # As another account, who is let pass to root's Python.
    pass_by = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    become = ["setpriv", "--reuid=42427", "--regid=42427", "--clear-groups", *pass_by]
    environment = {
        name: value for name, value in clean_environment().items() if name not in {"HOME", "USER", "LOGNAME"}
    }
    words = [*become, "./inv", "up", "--engine", "auto"]
    said = subprocess.run(words, cwd=checkout.path, env=environment, capture_output=True, text=True, check=False)
    assert "embedded: real servers from packages" in said.stdout
    assert said.returncode == 3
    assert "PostgreSQL needs an account with a name, and uid 42427 has none here." in said.stderr
