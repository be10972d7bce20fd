"""`./inv up` on both engines: from nothing to a healthy stack, and again."""

from __future__ import annotations

import shutil

import psutil
import pytest

from tests.checkout import Checkout

pytestmark = pytest.mark.slow
SERVICES = ["postgres", "redis", "api", "web"]


def test_everything_listens_on_the_loopback_address_only(stack: Checkout) -> None:
    found = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN and each.laddr]
    addresses = {each.laddr.port: each.laddr.ip for each in found}
    assert {addresses[port] for port in stack.ports.values()} == {"127.0.0.1"}


def test_second_up_finds_the_stack_up_and_does_not_run_ansible(stack: Checkout) -> None:
    stack.inv("up")
    log = stack.state / "logs" / "playbook-up.log"
    before, pids = log.stat().st_mtime_ns, [stack.pid(name) for name in SERVICES]
    assert "is already up" in stack.inv("up").out
    assert log.stat().st_mtime_ns == before
    assert [stack.pid(name) for name in SERVICES] == pids


def test_up_restarts_only_the_service_whose_source_changed(stack: Checkout, engine: str) -> None:
    before = {name: stack.pid(name) for name in SERVICES}
    stack.edit("service/__init__.py", "0.2.0", "0.2.1")
    stack.inv("up")
    after = {name: stack.pid(name) for name in SERVICES}
    changed = {name for name in SERVICES if before[name] != after[name]}
    if engine == "compose":  # which starts what depends on it again, in some versions
        changed.discard("web")
    assert changed == {"api"}
    assert stack.ask("/version")[1]["version"] == "0.2.1"


def test_up_follows_a_new_role_and_a_new_database_and_says_so(stack: Checkout) -> None:
    stack.env(POSTGRES_USER="shop", POSTGRES_DB="wares")
    said = stack.inv("up").out
    assert "created role shop from .env" in said
    assert "created database wares from .env" in said
    assert stack.ask("/health/db")[0] in {200, 503}
    assert stack.ask("/health/ready")[0] == 200


def test_hooks_run_around_up_and_its_json_stays_one_document(stack: Checkout, engine: str) -> None:
    folder = stack.path / "hooks"
    folder.mkdir()
    try:
        for name in ("pre-up", "post-up"):
            lines = ["#!/bin/sh", ". ./.env", 'echo "$STACKHAND_HOOK_ENGINE: $POSTGRES_PASSWORD"']
            (folder / name).write_text("\n".join(lines), encoding="utf-8")
            (folder / name).chmod(0o755)
        said = stack.inv("up", "--json")
        assert said.json["changed"] is False
        shown = f"{engine}: <POSTGRES_PASSWORD redacted>"
        assert [line for line in said.err.splitlines() if shown in line] == [
            f"  · {name}: {shown}" for name in ("pre-up", "post-up")
        ]
        (folder / "pre-up").write_text("#!/bin/sh\necho 'no VPN'; exit 1", encoding="utf-8")
        refused = stack.inv("up", "--json", check=False)
        assert (refused.code, refused.json["error"]["evidence"]) == (3, ["no VPN"])
        stack.inv("up", "--skip-hooks")
    finally:
        shutil.rmtree(folder)
