"""What is redacted, in which encodings, and at which exits of the process."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import hypothesis
import hypothesis.strategies as st
import pytest

from stackhand import redaction
from stackhand.ansible import action
from stackhand.aws.waiting import ONCE
from stackhand.cli import console, loglines
from stackhand.cli.failure import Failure
from stackhand.cli.reporter import Lines, Reporter, StepReport
from stackhand.database import verbs
from stackhand.database.postgres import PostgreSQL
from stackhand.infrastructure.store import Store
from stackhand.redaction import Former, Redactor, known, patterns
from stackhand.redaction.known import Known
from stackhand.release.images import provenance
from stackhand.release.stages import report
from tests.encodings import AS_A_WORD, ENCODINGS

SECRET = "p4ss/w%rd+&'\"<é>$$ \\x"
OLD = "Summer-2024!"


def redactor_of(*values: str) -> Redactor:
    secrets = Known()
    for value in values:
        secrets.add("SHOP", value)
    return Redactor(secrets)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_known_secret_is_found_in_every_encoding(encoding: str) -> None:
    written = ENCODINGS[encoding](SECRET)
    shown = redactor_of(SECRET).text(f"before\nurl=//x?{written} after\n")
    assert written.strip() not in shown
    assert "<SHOP redacted>" in shown
    assert shown.startswith("before\n")
    assert shown.count("\n") == f"before\nurl=//x?{written} after\n".count("\n")


LETTERS = st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cc", "Cn", "Cf", "Zs", "Zl"))
AROUND = st.text("abc \n=:\"'{},/", max_size=8)


@hypothesis.settings(max_examples=150)
@hypothesis.given(
    st.one_of(
        st.text("abXY09-_%+/\\'\"$&<>=:;,#@!", min_size=6, max_size=40), st.text(LETTERS, min_size=6, max_size=30)
    ),
    st.sampled_from(sorted(ENCODINGS)),
    AROUND,
    AROUND,
)
def test_no_form_of_a_secret_survives(secret: str, encoding: str, before: str, after: str) -> None:
    redactor = redactor_of(secret)
    hypothesis.assume(redactor.secrets.values and secret not in "<SHOP redacted>")
    text = before + ENCODINGS[encoding](secret) + after
    shown = redactor.text(text)
    assert "<SHOP redacted>" in shown
    assert secret not in shown
    assert shown.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("POSTGRES_PASSWORD=hunter two", "POSTGRES_PASSWORD=<POSTGRES_PASSWORD redacted>"),
        ("up with REDIS_PASSWORD=abc, ready", "up with REDIS_PASSWORD=<REDIS_PASSWORD redacted>, ready"),
        ('{"api_key": "a \\"b\\" c", "key": "env_file"}', '{"api_key": "<api_key redacted>", "key": "env_file"}'),
        ('{\\"password\\": \\"x y\\"}', '{\\"password\\": \\"<password redacted>\\"}'),
        ("  smtp_password: hunter2 # old", "  smtp_password: <smtp_password redacted> # old"),
        ("postgresql://ann:p%40ss@db/shop", "postgresql://ann:<password redacted>@db/shop"),
        ("redis://:pw@cache:6379/0", "redis://:<password redacted>@cache:6379/0"),
        ("GET /a?token=abc&page=2", "GET /a?token=<token redacted>&page=2"),
        (
            "?X-Amz-Signature=0f&X-Amz-Security-Token=F%2F&a=1",
            "?X-Amz-Signature=<X-Amz-Signature redacted>&X-Amz-Security-Token=<X-Amz-Security-Token redacted>&a=1",
        ),
        ("Authorization: Bearer abc.def 200", "Authorization: Bearer <Authorization redacted> 200"),
        ("Cookie: a=b; c=d", "Cookie: <Cookie redacted>"),
        ("redis-server --requirepass abc --port 1", "redis-server --requirepass <requirepass redacted> --port 1"),
        ("ALTER ROLE ann PASSWORD 'a b';", "ALTER ROLE ann PASSWORD '<password redacted>';"),
        ("key AKIAIOSFODNN7EXAMPLE is", "key <AWS access key redacted> is"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ", "<GitHub token redacted>"),
        ("sk_live_0123456789ab", "<Stripe key redacted>"),
        ("xoxb-0123456789-ab", "<Slack token redacted>"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "<JWT redacted>"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nend", "<private key redacted>\n\n\nend"),
        ("eyJhcGlfdG9rZW4iOiAiYWJjZGVmIn0=", "<api_token redacted>"),  # {"api_token": "abcdef"}
    ],
)
def test_a_secret_is_known_by_what_stands_before_it_or_what_it_looks_like(text: str, expected: str) -> None:
    assert redactor_of().text(text) == expected
    assert redactor_of().text(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?run ./inv up once, it makes .env}",
        "POSTGRES_PASSWORD must be a secret of 8 characters or more",
        "docker-compose.yml: services.api.environment.API_KEY: a secret must be the whole value",
        'FATAL:  password authentication failed for user "stackhand"',
        "postgresql://stackhand@postgres:5432/stackhand",
        "HTTP 401: bad token: expired",
        '  change aws_ssm_parameter.generated["POSTGRES_PASSWORD"]: value',
        "AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/token max_tokens=5 PWD=/srv primary_key=id",
        "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN again",
    ],
)
def test_what_only_speaks_of_a_secret_stays(text: str) -> None:
    assert redactor_of().text(text) == text


def test_a_short_or_common_secret_is_redacted_behind_its_name_only() -> None:
    secrets = Known()
    for name, value in (("PIN", "4711"), ("DB_PASSWORD", "postgres"), ("POSTGRES_DATABASE_KEY", "12345")):
        secrets.add(name, value, named=True)
    redactor = Redactor(secrets)
    assert redactor.text("with PIN=4711, port 4711; DB_PASSWORD=postgres on postgres") == (
        "with PIN=<PIN redacted>, port 4711; DB_PASSWORD=<DB_PASSWORD redacted> on postgres"
    )
    assert redactor.weak == ["DB_PASSWORD", "PIN", "POSTGRES_DATABASE_KEY"]


def test_overlapping_secrets_leave_nothing_of_either() -> None:
    assert redactor_of("abcdef12", "ef12ghij").text("[abcdef12ghij]") == "[<SHOP redacted>]"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a secret of each origin, all of the form `from-ORIGIN-1`."""
    (tmp_path / ".stackhand" / "services").mkdir(parents=True)
    (tmp_path / ".env.example").write_text(
        "# type: secret given\nPIN=\n\n# type: secret given url\nMAIL_URL=\n\n# type: text\nA=\n"
    )
    (tmp_path / ".env").write_text(
        "PIN=from-env-1\nMAIL_URL=smtp://ann:from%2Durl-1@mail.example.org\nA=plain-text-1\nOTHER=doubtful-1\n"
        "# DB_PASSWORD=from-comment-1\nDB_PASSWORD=from-env-2\nMIIEfrom-broken-line-1\nX_TOKEN=from-hash#1\n"
    )
    (tmp_path / "docker-compose.yml").write_text(
        "services:\n  api:\n    build: {context: ., args: {NPM_TOKEN: from-args-1}}\n"
        "    command: [redis-server, --requirepass, from-command-1]\n"
        "    environment:\n      - API_KEY=from-list-1\n      - URL=postgresql://ann:${NONE:-from-default-1}@db/x\n"
        "      - SHOP_AUTH=${ONLY_IN_SHELL}\n    env_file: [api.env]\n"
        "secrets:\n  ca: {file: ca.key}\n  by_name: {environment: BY_NAME}\n"
    )
    (tmp_path / "api.env").write_text("SMTP_PASSWORD=from-env-file-1\n")
    (tmp_path / "ca.key").write_text("from-file-1\n")
    running = {"environment": {"DB_PASSWORD": "from-running-1", "HOST": "127.0.0.1"}}
    (tmp_path / ".stackhand" / "services" / "api.json").write_text(json.dumps(running))
    for name in ("AWS_SECRET_ACCESS_KEY", "ONLY_IN_SHELL", "BY_NAME"):
        monkeypatch.setenv(name, f"from-{name.lower()}-1")
    return tmp_path


def test_secrets_are_known_from_settings_compose_files_what_they_name_and_the_shell(project: Path) -> None:
    found = {value for value in known.of(project).values if value.startswith(("from", "MIIE"))}
    origins = ("env", "url", "comment", "args", "command", "list", "default", "env-file", "file", "running")
    shell = ("aws_secret_access_key", "only_in_shell", "by_name")
    lines = {"from-env-2", "from%2Durl-1", "from-hash#1", "MIIEfrom-broken-line-1"}
    assert found >= {*(f"from-{origin}-1" for origin in (*origins, *shell)), *lines}
    assert "plain-text-1" not in known.of(project, doubtful=True).values
    assert "doubtful-1" not in known.of(project).values
    assert "doubtful-1" in known.of(project, doubtful=True).values
    assert "from-aws_secret_access_key-1" not in known.of(project).lasting()


def test_a_password_that_is_the_name_of_its_user_is_redacted_behind_its_name_only(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_USER=orders\nDB_PASSWORD=orders\nTOKEN=Xk3v9sQ2LmT7\n")
    (tmp_path / "compose.yaml").write_text(
        "services: {db: {environment: {POSTGRES_USER: '${DB_USER}', OTHER_USER: Xk3v9sQ2LmT7, "
        "URL: 'postgres://orders:orders@db/orders'}}}"
    )
    redactor = Redactor.of(tmp_path)
    text = "orders@1.0.0 ready; Xk3v9sQ2LmT7; DB_PASSWORD=orders"
    assert redactor.text(text) == "orders@1.0.0 ready; <TOKEN redacted>; DB_PASSWORD=<DB_PASSWORD redacted>"


@pytest.mark.parametrize("old", [OLD, "two words!", "Xk3v9sQ2LmT7bZ-pR8wN5yHc"])
def test_a_former_secret_is_found_by_its_fingerprint_alone(project: Path, old: str) -> None:
    Former(project).remember({old: "DB_PASSWORD"})
    kept = project / ".stackhand" / "secrets.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (project / ".stackhand" / "key").stat().st_mode & 0o777 == 0o600
    assert not [encoding for encoding in ENCODINGS if ENCODINGS[encoding](old) in kept.read_text()]
    redactor = Redactor.of(project)
    assert old not in redactor.secrets.values
    for encoding in AS_A_WORD:
        written = ENCODINGS[encoding](old)
        shown = redactor.text(f"login as ann:{written} refused")
        assert "<former DB_PASSWORD redacted>" in shown, encoding
        assert written.strip() not in shown, encoding


def test_fingerprints_of_another_key_redact_nothing(project: Path) -> None:
    Former(project).remember({OLD: "DB_PASSWORD"})
    (project / ".stackhand" / "key").unlink()
    assert Redactor.of(project).text(f"({OLD})") == f"({OLD})"
    Former(project).remember({OLD: "DB_PASSWORD"})
    assert Redactor.of(project).text(f"({OLD})") == "(<former DB_PASSWORD redacted>)"


def test_present_secrets_are_not_looked_for_as_former_ones(project: Path) -> None:
    Former(project).remember(known.of(project).values)
    assert Redactor.of(project).text("(from-env-1)") == "(<PIN redacted>)"


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That checkout as the one that verbs work on."""
    for module in (redaction, console, report):
        monkeypatch.setattr(module, "PROJECT", project)
    monkeypatch.setattr(redaction, "_current", [None, None])
    return project


def failure_of(text: str) -> Failure:
    return Failure(f"It failed: {text}", evidence=["one", text], next=f"try {text}")


def reported(act: Callable[[Reporter], object]) -> str:
    stream = io.StringIO()
    act(Reporter(stream))
    return stream.getvalue()


def crashed(text: str, here: Path) -> str:
    told = console.defect("up", ValueError(text)).evidence[0]
    return (here / told.removeprefix("traceback: ")).read_text()


def bucket(kept: dict[str, bytes]) -> Store:
    """Return a store that keeps what the bucket is given."""

    def put(**words: Any) -> dict[str, str]:
        kept[words["Key"]] = words["Body"]
        return {"ETag": "1"}

    made = Store.__new__(Store)
    made.bucket, made.s3, made.retry = "b", SimpleNamespace(put_object=put), ONCE
    return made


def written(content: dict[str, Any]) -> str:
    kept: dict[str, bytes] = {}
    bucket(kept).write("x.json", content)
    return kept["x.json"].decode()


def ndjson_of(act: Callable[[Lines], object], capsys: pytest.CaptureFixture[str]) -> str:
    act(Lines())
    return capsys.readouterr().out


EXITS: dict[str, Callable[[str, Path, pytest.CaptureFixture[str]], str]] = {
    "failure": lambda text, _, __: reported(lambda to: to.failure(failure_of(text))),
    "step": lambda text, _, __: reported(lambda to: to.step(StepReport("a", text, 0, [text]), changed=True)),
    "progress": lambda text, _, __: reported(lambda to: to.progress(text)),
    "say": lambda text, _, capsys: str(console.write(text) or capsys.readouterr().out),
    "tell": lambda text, _, capsys: str(console.notify(text) or capsys.readouterr().err),
    "table": lambda text, _, capsys: str(console.table([[text]], [""], {}) or capsys.readouterr().out),
    "json": lambda text, _, capsys: str(
        console.document({"error": failure_of(text).document()}) or capsys.readouterr().out
    ),
    "ndjson": lambda text, _, capsys: ndjson_of(lambda to: to.note(text), capsys),
    "ndjson failure": lambda text, _, capsys: ndjson_of(lambda to: to.failure(failure_of(text)), capsys),
    "result of a task": lambda text, _, __: json.dumps(action._failed(failure_of(text))),
    "crash log": lambda text, here, _: crashed(text, here),
    "release report": lambda text, here, _: (here / report.keep("r1", ["one", text])).read_text(),
    "bucket": lambda text, _, __: written({"reason": text, "secrets": "0f"}),
}


@pytest.mark.parametrize("exit_name", EXITS)
def test_nothing_leaves_the_process_with_a_known_secret(
    exit_name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for encoding, write in ENCODINGS.items():
        text = write("from-env-2").strip()
        shown = EXITS[exit_name](f"(psql: {text})", here, capsys)
        assert "redacted>" in shown, encoding
        assert text not in shown, encoding
        if "json" in exit_name or exit_name in {"bucket", "result of a task"}:
            json.loads(shown)


def test_what_programs_go_by_is_not_redacted_by_its_name(here: Path) -> None:
    kept = json.loads(written({"token": "0f0f", "secrets": "1a", "services": {"api": {"key": "k"}}}))
    assert kept == {"token": "0f0f", "secrets": "1a", "services": {"api": {"key": "k"}}}


def test_a_bill_of_materials_is_kept_under_the_digest_of_what_is_kept(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(provenance.docker, "run", lambda *_: SimpleNamespace(stdout="sha256:0f"))
    made = bucket(kept)
    monkeypatch.setattr(made, "read", lambda _key: None)
    provenance.BuildRecord(made, "c0ffee").add("api", "api:c0ffee", {"name": "from-env-2"})
    bill, record = (kept[f"releases/images/c0ffee{ending}.json"] for ending in ("/api.cdx", ""))
    assert json.loads(bill) == {"name": "<DB_PASSWORD redacted>"}
    assert json.loads(record)["images"]["api"]["sbom"] == f"sha256:{hashlib.sha256(bill).hexdigest()}"


def test_a_note_for_the_page_has_no_known_secret(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []
    database = mock.create_autospec(PostgreSQL, instance=True)
    database.name = "shop"
    monkeypatch.setattr(verbs.choice, "database", lambda _verb, _service: database)
    monkeypatch.setattr(verbs, "_set_note", lambda _database, _incident, text: noted.append(text) or "database")
    verbs.note("12", "the password: from-env-2 was wrong", service=None)
    assert noted == ["the password: <DB_PASSWORD redacted> was wrong"]


def test_a_secret_that_up_makes_is_known_at_once(here: Path) -> None:
    assert redaction.current().text("fresh-secret-1") == "fresh-secret-1"
    (here / ".env").write_text("DB_PASSWORD=fresh-secret-1\n")
    os.utime(here / ".env", (1, 1))
    assert redaction.current().text("fresh-secret-1") == "<DB_PASSWORD redacted>"


def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loglines, "TAIL_BYTES", 20)
    (tmp_path / "a.log").write_text("password=0123456789abcdef\nlast line\n")
    assert loglines.tail(tmp_path / "a.log", 10) == ["last line"]


def test_searching_takes_a_time_that_grows_with_the_text_only() -> None:
    for unit in ("A" * 64 + "\n", 'password="', "://a:b", "-----BEGIN PRIVATE KEY-----\n", "%41", "\\", "a=" * 3):
        redactor_of(SECRET).text(unit * (20_000 // len(unit)))


def test_names_that_say_secret() -> None:
    for name in (
        "API_KEY",
        "secretAccessKey",
        "PGPASSWORD",
        "x-api-key",
        "SENTRY_DSN",
        "REDISCLI_AUTH",
        "SecretString",
    ):
        assert patterns.is_secret(name), name
    for name in ("key", "primary_key", "TOKEN_FILE", "AWS_ACCESS_KEY_ID", "secrets", "PWD", "password_encryption"):
        assert not patterns.is_secret(name), name
