"""Bad days: what breaks underneath a running or starting stack, and what the user then reads; on both engines."""

from __future__ import annotations

import signal

import pytest

from tests.checkout import Checkout, eventually
from tests.engines import ON_ONE

pytestmark = pytest.mark.slow
SERVICES = ("postgres", "redis", "api", "web")


@ON_ONE
def test_settings_deleted_while_running_are_made_again_and_the_data_stays(stack: Checkout) -> None:
    stack.inv("db.shell", stdin="CREATE TABLE spared AS SELECT 7 AS seven")
    (stack.path / ".env").unlink()
    assert stack.inv("status").code == 0
    assert stack.inv("logs", "api", "--lines", "1").code == 0
    stack.env(**stack.own_settings)
    said = stack.inv("up")
    assert "changed the password of stackhand to the one in .env" in said.out
    assert stack.inv("db.shell", stdin="SELECT * FROM spared").out.split()[2] == "7"


def test_a_migration_with_an_sql_error_is_shown_with_file_and_line(stack: Checkout) -> None:
    bad = stack.path / "service" / "migrations" / "900_bad.sql"
    bad.write_text("CREATE TABLE half (n int);\nINSERT INTO nowhere VALUES (1);\n")
    said = stack.inv("up", check=False)
    assert said.code == 4
    assert "migrate failed (exit" in said.err
    assert '900_bad.sql, line 2: relation "nowhere" does not exist' in said.err
    assert stack.services()["migrate"]["answer"] == "exited with 1"
    assert "f" in stack.inv("db.shell", stdin="SELECT to_regclass('half') IS NOT NULL").out
    bad.write_text("CREATE TABLE half (n int);\n")
    stack.inv("up")
    assert stack.ask("/version")[1]["schema_version"] == 900


def test_a_service_that_never_gets_ready_is_told_with_its_last_answer(stack: Checkout) -> None:
    file = stack.path / "docker-compose.yml"
    good = file.read_text()
    stack.edit("docker-compose.yml", "ready: /health/ready", "ready: /health/never")
    stack.edit("docker-compose.yml", "python, -m, service, check]", "python, -c, 'raise SystemExit(\"warming up\")']")
    last = "404 Not Found" if stack.engine == "embedded" else "warming up"
    # the longer ones where a slow machine has not asked it yet
    for timeout in (*(["4"] if stack.engine == "embedded" else []), "12", "60"):
        said = stack.inv("up", "--timeout", timeout, check=False)
        if last in said.err:
            break
    file.write_text(good)
    assert said.code == 4
    assert "api did not become healthy in time: " in said.err
    assert last in said.err
    assert "./inv logs api" in said.err
    stack.inv("up")


def test_up_that_was_interrupted_and_then_failed_goes_on_and_of_two_at_once_one_waits(checkout: Checkout) -> None:
    child = checkout.start("up")
    eventually(lambda: checkout.has_started("postgres"), "postgres is started")
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Interrupted during up." in err
    assert "running now:" in err
    assert "./inv up to continue, ./inv down to stop" in err

    with (checkout.path / "service" / "app.py").open("a") as file:
        file.write("def broken(:\n")
    said = checkout.inv("up", check=False)
    assert said.code == 4
    assert "api stopped while it started" in said.err
    assert "SyntaxError: invalid syntax" in said.err
    log = ".stackhand/logs/api.log" if checkout.engine == "embedded" else f"docker logs {checkout.name}-api"
    assert f"log: {log}" in said.err
    states = {name: service["state"] for name, service in checkout.services().items()}
    # a container is still tried a few times by its restart policy
    assert states.pop("api") in ({"failed"} if checkout.engine == "embedded" else {"failed", "starting", "unhealthy"})
    assert states == {"postgres": "healthy", "redis": "healthy", "migrate": "done", "web": "stopped"}

    checkout.edit("service/app.py", "def broken(:\n", "")
    first, second = checkout.start("up"), checkout.start("up")
    said_by = [child.communicate(timeout=60) for child in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    waited = [err for _, err in said_by if "waiting for ./inv up (pid" in err]
    assert len(waited) == 1
    assert sum("is already up" in out for out, _ in said_by) == 1
    assert checkout.ask("/health")[0] == 200


def test_killed_services_are_started_again_by_themselves(running: Checkout) -> None:
    before = running.services()
    for name in SERVICES:
        running.kill(name)

    def recovered() -> bool:
        found = running.services()
        return all(found[name]["state"] == "healthy" and found[name]["pid"] != before[name]["pid"] for name in SERVICES)

    eventually(recovered, "all are healthy again")


def test_paused_redis_costs_the_status_a_second_and_is_told(running: Checkout) -> None:
    running.kill("redis", signal.SIGSTOP)
    try:
        service = running.services()["redis"]
        assert service["state"] == "unhealthy"
        assert service["answer"].startswith("no answer within 1 s: its process is stopped by a signal")
        said = running.inv("cache.shell", stdin="PING", check=False)
        assert (said.code, said.out) == (4, "")
        assert "redis is running but unhealthy: no answer within 1 s: its process is stopped by a signal" in said.err
    finally:
        running.kill("redis", signal.SIGCONT)


@ON_ONE
def test_down_in_the_middle_of_up_waits_for_it_and_leaves_nothing(checkout: Checkout) -> None:
    child = checkout.start("up")
    eventually(lambda: checkout.has_started("postgres"), "postgres is started")
    said = checkout.inv("down")
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert "waiting for ./inv up (pid" in said.err
    assert "stopped: api, postgres, redis, web" in said.out


def test_a_role_that_postgresql_refuses_is_told_and_no_log_has_its_password(stack: Checkout) -> None:
    was, wrong = "POSTGRES_USER: ${POSTGRES_USER:-stackhand}", "POSTGRES_USER: pg_mine"
    stack.edit("docker-compose.yml", was, wrong)
    said = stack.inv("up", check=False)
    logs = stack.inv("logs", "postgres").out
    stack.edit("docker-compose.yml", wrong, was)
    stack.inv("up")
    assert "postgres could not be reconciled with .env." in said.err
    assert 'role name "pg_mine" is reserved' in said.err
    assert 'role name "pg_mine" is reserved' in logs
    assert stack.setting("POSTGRES_PASSWORD") not in said.err + logs


def test_up_follows_a_changed_setting_and_a_password_of_any_letters_everywhere(stack: Checkout) -> None:
    from stackhand.project import dotenv

    path, password, cache = stack.path / ".env", 'it\'s a "$5 ${HOME}" #b', "another \"one' of $6 ${X}\ntwo\nlines\\"
    changed = {"POSTGRES_PASSWORD": password, "REDIS_PASSWORD": cache, "ENVIRONMENT": "staging"}
    path.write_text(dotenv.replace(path.read_text(), changed))
    assert "changed the password of stackhand to the one in .env" in stack.inv("up").out
    assert stack.ask("/version")[1]["environment"] == "staging"
    assert stack.ask("/health/ready")[0] == 200
    eventually(lambda: stack.ask("/health/all")[1]["checks"]["cache"][0]["status"] == "pass", "the cache is reached")
    assert stack.inv("db.shell", stdin="SELECT 42").out.split()[2] == "42"
    assert stack.inv("cache.shell", stdin="PING").out.strip().endswith("PONG")
