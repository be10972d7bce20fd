"""The verbs on a running stack."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import urllib.request
import zipfile
from contextlib import suppress

import psutil
import pytest

from stackhand.local.engines import health
from stackhand.project.memory import HealthQuestion
from tests.checkout import Checkout, eventually
from tests.encodings import AS_A_WORD, ENCODINGS
from tests.engines import ON_ONE
from tests.terminal import on_terminal

pytestmark = pytest.mark.slow


def test_status_shows_each_service_with_its_address(stack: Checkout) -> None:
    said = stack.inv("status")
    assert "healthy" in said.out.splitlines()[0]
    assert f"http://127.0.0.1:{stack.ports['API_PORT']}" in said.out


def test_status_json_has_the_documented_shape(stack: Checkout) -> None:
    document = stack.inv("status", "--json").json
    assert document["status"] == "healthy"
    assert set(document) == {"stack", "engine", "status", "services", "notes"}
    assert set(document["services"][0]) == {
        "name",
        "state",
        "answer",
        "milliseconds",
        "address",
        "addresses",
        "ports",
        "published",
        "pid",
        "uptime_seconds",
    }


@ON_ONE
def test_status_watch_with_json_prints_a_document_a_line(stack: Checkout) -> None:
    with stack.running("status", "--watch", "--json") as out:
        lines = [out.readline() for _ in range(2)]
    assert [json.loads(line)["status"] for line in lines] == ["healthy", "healthy"]


@ON_ONE
def test_status_watch_looks_again_and_again_and_ends_quietly(stack: Checkout) -> None:
    child = stack.start("status", "--watch")
    assert child.stdout is not None
    heads = itertools.islice((line for line in child.stdout if " on " in line), 2)
    assert [line.split()[-1] for line in heads] == ["healthy", "healthy"]
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (130, "")


def test_logs_of_one_service_are_its_own_lines_unchanged(stack: Checkout) -> None:
    lines = stack.inv("logs", "api", "--lines", "3").out.splitlines()
    assert len(lines) == 3
    assert all(json.loads(line)["event"] for line in lines)


def test_logs_since_leaves_out_what_is_older(stack: Checkout) -> None:
    stack.ask("/early", "WEB_PORT")
    eventually(lambda: '"/early"' in stack.inv("logs", "web", "--since", "1h").out, "the request is logged")
    eventually(lambda: '"/early"' not in stack.inv("logs", "web", "--since", "1s").out, "the request is older")


def test_logs_follow_shows_what_is_said_next(stack: Checkout) -> None:
    stack.ask("/before", "WEB_PORT")
    eventually(lambda: "/before" in stack.inv("logs", "web").out, "the first request is logged")
    with stack.running("logs", "web", "--follow", "--lines", "1") as out:
        assert '"/before"' in out.readline()
        stack.ask("/followed", "WEB_PORT")
        assert '"/followed"' in out.readline()


@ON_ONE
def test_unknown_service_lists_the_known_ones(stack: Checkout) -> None:
    for verb in ("logs", "restart", "shell"):
        said = stack.inv(verb, "nginx", check=False)
        assert said.code == 2
        assert "There is no service 'nginx'" in said.err
        assert "known: postgres, redis, migrate, api, web" in said.err


@ON_ONE
def test_unknown_verb_says_what_was_probably_meant(stack: Checkout) -> None:
    said = stack.inv("statsu", check=False)
    assert said.code == 2
    assert said.err.strip() == "inv: No idea what 'statsu' is!\nnext: ./inv status"


def test_restart_gives_the_service_a_new_process(stack: Checkout) -> None:
    before = {name: stack.pid(name) for name in ("api", "web")}
    stack.inv("restart", "api")
    assert stack.pid("api") != before["api"]
    assert stack.pid("web") == before["web"]


def test_restart_takes_the_port_and_the_password_of_now(running: Checkout) -> None:
    before = (running.path / ".env").read_text()
    running.env(API_PORT=str(running.spare), POSTGRES_PASSWORD="another-password")
    running.inv("restart", "api")
    service = running.services()["api"]
    (running.path / ".env").write_text(before)
    assert (service["state"], service["ports"]) == ("healthy", [running.spare])
    running.inv("up")
    assert running.ask("/health/ready")[0] == 200


def test_interrupted_restart_says_what_runs_and_what_is_stopped(running: Checkout) -> None:
    # What is stopped second does not end yet, so that the restart is at work for as long as it has to be.
    first, second = ("web", "api") if running.engine == "embedded" else ("api", "web")
    gone, held = running.pid(first), running.kill(second, signal.SIGSTOP)
    child = running.start("restart")
    try:
        eventually(lambda: not psutil.pid_exists(gone), f"{first} is stopped")
        child.send_signal(signal.SIGINT)
    finally:
        with suppress(ProcessLookupError):
            os.kill(held, signal.SIGCONT)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, "Interrupted during restart." in err) == (130, True), err
    assert "running now: " in err
    assert "next: ./inv up starts what is stopped" in err
    running.inv("up")
    assert running.ask("/health/ready")[0] == 200


def test_shell_has_the_environment_of_the_service(stack: Checkout) -> None:
    said = stack.inv("shell", "api", stdin="echo $PORT $HOST; pwd", SHELL="/bin/sh")
    here = [str(stack.ports["API_PORT"]), "127.0.0.1", str(stack.path)]
    assert said.out.split() == (here if stack.engine == "embedded" else ["4000", "0.0.0.0", "/app"])


@ON_ONE
def test_open_says_the_address_where_no_browser_is(stack: Checkout) -> None:
    said = stack.inv("open", DISPLAY="")
    assert said.err.strip() == "also: ./inv open api"
    assert said.out.strip() == f"http://127.0.0.1:{stack.ports['WEB_PORT']}"
    assert stack.inv("open", "api", DISPLAY="").out.strip() == f"http://127.0.0.1:{stack.ports['API_PORT']}"


def test_doctor_finds_nothing_wrong_with_a_healthy_stack(stack: Checkout) -> None:
    document = stack.inv("doctor", "--json").json
    assert {check["category"] for check in document["checks"]} == {
        "machine",
        "engine",
        "settings",
        "services",
        "targets",
        "ports",
        "stack",
    }
    assert [check for check in document["checks"] if check["status"] == "fail"] == []


@ON_ONE
def test_doctor_hints_at_a_misspelt_setting(stack: Checkout) -> None:
    text = (stack.path / ".env").read_text()
    stack.env(LOG_LEVLE="debug")
    said = stack.inv("doctor")
    (stack.path / ".env").write_text(text)
    assert "LOG_LEVLE" in said.out
    assert "did you mean LOG_LEVEL?" in said.out


def test_database_verbs_show_and_query(stack: Checkout) -> None:
    assert "001_history.sql  applied" in stack.inv("db.status").out
    assert "PostgreSQL 16" in on_terminal(stack, "db.status")
    document = stack.inv("db.status", "--json").json
    assert list(document) == ["database", "version", "size_bytes", "connections", "snapshots", "migrations"]
    assert document["migrations"][0]["command"] == "python -m service migrate --status"
    assert "nothing is pending" in stack.inv("db.plan").out
    assert "001_history.sql  applied" in stack.inv("db.migrate").out
    assert stack.inv("db.shell", stdin="SELECT current_database()").out.split()[2] == stack.setting("POSTGRES_DB")


def test_a_migration_command_is_never_run_to_be_asked(stack: Checkout) -> None:
    file = stack.path / "docker-compose.yml"
    before = file.read_text()
    ours = re.search(r" {4}x-aws:\n {6}release:\n( {8}.*\n)+( {6}.*\n)+", before)
    assert ours
    anchor = "      ca: /app/service/rds.pem\n"
    theirs = anchor + """      release: sh -c 'echo "it migrates $$*"' mine\n"""
    file.write_text(before.replace(ours[0], "").replace(anchor, theirs))
    try:
        plan, status = stack.inv("db.plan", check=False), stack.inv("db.status")
        document, migrated = stack.inv("db.status", "--json").json, stack.inv("db.migrate")
    finally:
        file.write_text(before)
    unnamed = "docker-compose.yml names no command of api that shows"
    assert (plan.code, plan.out) == (1, "")
    assert f"The pending migrations are unknown: {unnamed} pending migrations (x-aws.release.plan)." in plan.err
    assert f"migrations: unknown: {unnamed} applied migrations (x-aws.release.status)" in status.out
    assert "it migrates" not in status.out
    assert document["migrations"] is None
    assert migrated.out == "it migrates\n"


def test_a_database_is_known_by_its_image(stack: Checkout) -> None:
    file = stack.path / "docker-compose.yml"
    before = file.read_text()
    file.write_text(re.sub(r"    x-embedded: \{engine: (postgres|redis)\}\n", "", before))
    try:
        status, cache = stack.inv("db.status", check=False), stack.inv("cache.shell", stdin="PING", check=False)
    finally:
        file.write_text(before)
    asked = health.ask(HealthQuestion("redis", port=stack.ports["REDIS_PORT"], password=""))
    assert (asked.healthy, asked.message) == (True, "asks for a password")
    assert "001_history.sql  applied" in status.out
    assert "PONG" in cache.out


@ON_ONE
def test_a_note_is_put_on_an_incident_whatever_it_says(stack: Checkout) -> None:
    assert "There is no incident '1'" in stack.inv("db.note", "1", "x", check=False).err
    fields, values = "component, started_at, worst, code", "'db', now(), 'fail', 'x'"
    sql = f"INSERT INTO stackhand_status.history_incident ({fields}) VALUES ({values}) RETURNING id"
    number = stack.inv("db.shell", stdin=sql).out.split()[2]
    said = "It's \"fixed\" \\ $x :'text'\nSecond line."
    assert "note added to db of " in stack.inv("db.note", number, said).out
    shown = "\\pset format unaligned\nSELECT to_json(note) FROM stackhand_status.history_incident"
    assert json.dumps(said) in stack.inv("db.shell", stdin=shown).out
    assert stack.inv("db.note", number, "x" * 2001, check=False).code == 2
    assert "note removed from" in stack.inv("db.note", number, "").out


def test_the_page_comes_with_the_state_in_it(stack: Checkout) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports['WEB_PORT']}/", timeout=10) as answer:
        text = answer.read().decode()
    assert re.search(rf"{stack.name} · \w+ · {stack.engine} · version ", text)
    assert "</span>All systems operational</h1>" in text
    assert "<!--#" not in text


@pytest.mark.parametrize(("path", "kind"), [("/", "text/html"), ("/api/status", "application/json")])
def test_a_header_has_one_limit_and_cookies_stop_before_the_api(stack: Checkout, path: str, kind: str) -> None:
    def status(cookies: int, referer: int = 0) -> int:
        more = {"Accept": kind, "Cookie": "x" * cookies, "Referer": "x" * referer}
        connection = http.client.HTTPConnection("127.0.0.1", stack.ports["WEB_PORT"], timeout=10)
        connection.request("GET", path, headers=more)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200 or re.search("cookies of all ports of a\\s+host", text)
        return answer.status

    # one header of all 16 KiB, and two that together are too much for the API
    assert [status(9_000), status(15_000), status(15_000, 15_000), status(17_000)] == [200, 200, 200, 431]


def test_snapshot_restore_and_reset_lose_nothing(stack: Checkout) -> None:
    stack.inv("db.shell", stdin="CREATE TABLE kept AS SELECT 1 AS one")
    stack.inv("db.snapshot", "good")
    assert stack.inv("db.snapshot", "good", check=False).code == 1
    assert "before-reset-" in stack.inv("db.reset", "--yes").out
    assert "does not exist" in stack.inv("db.shell", stdin="SELECT * FROM kept", check=False).err
    assert "before-restore-" in stack.inv("db.restore", "good", "--yes").out
    assert stack.inv("db.shell", stdin="SELECT * FROM kept").out.split()[2] == "1"
    said = stack.inv("db.restore", "bad", "--yes", check=False)
    assert said.code == 2
    assert "known: before-restore-" in said.err
    eventually(lambda: stack.ask("/health/db")[0] == 200, "the service has its database again")


def test_a_snapshot_that_cannot_be_read_leaves_the_database_as_it_was(stack: Checkout) -> None:
    stack.inv("db.shell", stdin="CREATE TABLE whole AS SELECT 1 AS one")
    (stack.state / "snapshots" / "broken.dump").write_text("this is no dump")
    said = stack.inv("db.restore", "broken", "--yes", check=False)
    assert said.code == 1
    assert "pg_restore failed" in said.err
    assert stack.inv("db.shell", stdin="SELECT * FROM whole").out.split()[2] == "1"


def test_seeds_fill_the_page_and_loaded_again_change_nothing(stack: Checkout) -> None:
    assert stack.inv("db.seed").out.startswith("001_history.sql  ")
    sums = "SELECT sum(passed + failed) FROM stackhand_status.history_hour"
    seeded = stack.inv("db.shell", stdin=sums).out.split()[2]
    assert int(seeded) > 16_000

    def notes() -> list[str]:
        return [each["note"] for each in stack.ask("/api/incidents")[1]["incidents"] if each["component"] == "cache"]

    eventually(lambda: notes()[-1:] == ["an example, of ./inv db.seed"], "the answer of before is forgotten")
    more = stack.path / "seeds" / "002_more.sql"
    more.write_text("SET CONSTRAINTS ALL IMMEDIATE;\n")
    again = stack.inv("db.seed").out
    more.unlink()
    assert int(again.split()[1]) < 10  # minutes that have passed meanwhile
    assert "002_more.sql  0 rows" in again


def test_a_seed_that_cannot_be_loaded_is_told_and_leaves_nothing(stack: Checkout) -> None:
    bad = stack.path / "seeds" / "000_bad.sql"
    sown, wrong = "CREATE TABLE sown (n int);\n", "INSERT INTO nowhere VALUES (1);\n"
    ends = "000_bad.sql was not loaded: it ends its own transaction, so part of it could be kept."
    for text, what, evidence in (
        (sown + wrong, "000_bad.sql was not loaded.", 'relation "nowhere" does not exist'),
        (f"BEGIN;\n{sown}COMMIT;\n{wrong}", ends, "psql:<stdin>:3:"),
        (f"ROLLBACK;\n{sown}{wrong}", ends, "psql:<stdin>:2:"),
        (f"{sown}ROLLBACK;\nBEGIN;", ends, "the file ends its transaction itself"),
        ("\\! touch sown\n", "000_bad.sql was not loaded.", "backslash commands are restricted"),
    ):
        bad.write_text(text)
        said = stack.inv("db.seed", check=False)
        bad.unlink()
        assert (said.code, said.out) == (1, "")
        assert what in said.err
        assert evidence in said.err
    assert not (stack.path / "sown").exists()
    assert "f" in stack.inv("db.shell", stdin="SELECT to_regclass('sown') IS NOT NULL").out.split()


def test_losing_data_wants_the_name_typed_or_yes(stack: Checkout) -> None:
    for words in (("db.reset",), ("down", "--volumes")):
        said = stack.inv(*words, check=False)
        assert said.code == 2
        assert "--yes" in said.err
    where = f"the volume {stack.name}_postgres" if stack.engine == "compose" else ".stackhand/data/postgres"
    assert where in said.err
    assert stack.ask("/health")[0] == 200


def test_cache_shell_answers_commands(stack: Checkout) -> None:
    said = stack.inv("cache.shell", stdin='SET greeting "hello there"\nGET greeting\nINCR n\nNOPE\n')
    lines = said.out.splitlines()
    assert lines[0] == "OK"
    assert "hello there" in lines[1]
    assert "1" in lines[2]
    assert "unknown command" in lines[3]


def test_support_redacts_present_former_and_literal_secrets_in_every_encoding(stack: Checkout) -> None:
    files = {name: (stack.path / name).read_text() for name in (".env", "docker-compose.yml")}
    stack.env(SHOP_PASSWORD="Summer-2024!")  # of a service of the user's own
    stack.edit(
        "docker-compose.yml",
        "      STACK:",
        "      SMTP_PASSWORD: l1teral-secret\n      SHOP_KEY: ${SHOP_KEY:-}\n      STACK:",
    )
    (stack.path / stack.inv("support").out.split(":")[0]).unlink()
    stack.env(SHOP_PASSWORD="0nly-now/and+then", SHOP_TOKEN="4711")
    own = [stack.setting(key) for key in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "HEALTH_DETAILS_TOKEN")]
    secrets = [*own, "0nly-now/and+then", "l1teral-secret", "only in the shell"]
    written = [encode(secret).strip() for secret in secrets for encode in ENCODINGS.values()]
    written += [ENCODINGS[name]("Summer-2024!").strip() for name in AS_A_WORD]
    log = stack.state / "logs" / "shop.log"
    log.write_text("".join(f"{number}: <{each}>\n" for number, each in enumerate(written)))
    said = stack.inv("support", SHOP_KEY="only in the shell")
    for name, text in files.items():
        (stack.path / name).write_text(text)
    log.unlink()
    path = stack.path / said.out.split(":")[0]
    with zipfile.ZipFile(path) as file:
        texts = {name: file.read(name).decode() for name in file.namelist()}
    assert {"versions.json", "doctor.json", "status.json", "logs/api.log"} <= set(texts)
    assert not [(name, each) for name, text in texts.items() for each in written if each in text]
    assert len(texts["logs/shop.log"].splitlines()) == sum(each.count("\n") + 1 for each in written)
    assert "SHOP_PASSWORD=<SHOP_PASSWORD redacted>" in texts["settings.env"]
    assert "SMTP_PASSWORD: <SMTP_PASSWORD redacted>" in texts["docker-compose.yml"]
    assert "DATABASE_PASSWORD: ${POSTGRES_PASSWORD:?run ./inv up once, it makes .env}" in texts["docker-compose.yml"]
    assert "known secrets are redacted" in said.out
    assert "after their names: SHOP_TOKEN" in said.out
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()


@ON_ONE
def test_plain_invoke_does_the_same(stack: Checkout) -> None:
    said = subprocess.run([".venv/bin/invoke", "status"], cwd=stack.path, capture_output=True, text=True, check=True)
    assert "healthy" in said.stdout


@ON_ONE
def test_completion_script_completes_the_verbs(stack: Checkout) -> None:
    script = stack.inv("--print-completion-script", "bash").out
    path = stack.path / "completion.bash"
    path.write_text(script)
    typed = 'source completion.bash; COMP_WORDS=(./inv db.s); _complete_inv ./inv db.s; echo "${COMPREPLY[@]}"'
    said = subprocess.run(
        ["bash", "-c", typed],
        cwd=stack.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["db.seed", "db.shell", "db.snapshot", "db.status"]


OPEN = {".gitignore", "run/supervisord.pid"}
"""What every account may read in .stackhand: nothing in it is secret, nor made from what is."""


def test_secrets_are_for_their_owner_only(stack: Checkout) -> None:
    stack.inv("db.snapshot", "closed")
    secrets = [stack.setting(key).encode() for key in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "HEALTH_DETAILS_TOKEN")]
    (stack.state / "snapshots" / "closed.dump").rename(stack.state / "open.dump")  # in no closed folder
    seen = []
    for path in (path for path in stack.path.rglob("*") if path.is_file() and not path.is_symlink()):
        # configuration is for the group of its service as well
        way = [each for each in (path, *path.parents) if each.is_relative_to(stack.path)]
        if ".venv" not in path.parts and all(
            each.stat().st_mode & (0o007 if "config" in path.parts else 0o077) for each in way
        ):
            assert not any(secret in path.read_bytes() for secret in secrets), path
            seen += [str(path.relative_to(stack.state))] if stack.state in path.parents else []
    (stack.state / "open.dump").unlink()
    assert set(seen) <= OPEN
