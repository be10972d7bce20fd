"""`.env` is made from its example, completed, never overwritten, and checked against it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from stackhand.cli.failure import Failure
from stackhand.project import schema, settings, values
from stackhand.project.state import State
from tests import accounts
from tests.checkout import ROOT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copy(ROOT / ".env.example", tmp_path)
    return tmp_path


def test_a_new_file_has_secrets_of_its_own_and_is_for_its_owner_only(root: Path) -> None:
    found = settings.ensure(root)
    assert (root / ".env").stat().st_mode & 0o777 == 0o600
    assert found.notes == (".env created with 5 generated secrets",)
    secrets = {found.values[key] for key, each in schema.read(root / ".env.example").items() if each.kind == "secret"}
    assert len(secrets) == 5
    assert all(len(secret) >= 32 for secret in secrets)


def test_a_second_look_changes_nothing(root: Path) -> None:
    settings.ensure(root)
    before = (root / ".env").read_bytes()
    assert settings.ensure(root).changed is False
    assert (root / ".env").read_bytes() == before


def test_a_look_in_check_mode_writes_nothing(root: Path) -> None:
    assert settings.ensure(root, check=True).changed is True
    assert not (root / ".env").exists()


def test_own_values_and_comments_are_kept_and_new_keys_are_appended_with_theirs(root: Path) -> None:
    (root / ".env").write_text("# mine\nWEB_PORT=3456\nMY_OWN=thing\n")
    found = settings.ensure(root)
    text = (root / ".env").read_text()
    assert text.startswith("# mine\nWEB_PORT=3456\nMY_OWN=thing\n")
    assert "# The service's HTTP API.\n# type: port\nAPI_PORT=4000\n" in text
    assert found.notes[0].startswith(".env: appended from .env.example: COMPOSE_PROJECT_NAME, ENVIRONMENT, API_PORT")
    assert (found.values["WEB_PORT"], found.values["MY_OWN"]) == ("3456", "thing")


def test_an_empty_secret_is_filled_in_and_said(root: Path) -> None:
    settings.ensure(root)
    text = (root / ".env").read_text()
    password = settings.load(root).values["REDIS_PASSWORD"]
    (root / ".env").write_text(text.replace(password, ""))
    assert settings.ensure(root).notes == (".env: filled in: REDIS_PASSWORD",)


def test_the_environment_wins_as_in_compose_and_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ensure(root)
    monkeypatch.setenv("LOG_LEVEL", "debug")
    found = settings.load(root)
    assert found.values["LOG_LEVEL"] == "debug"
    assert found.notes == ("from the environment, not .env: LOG_LEVEL",)


def test_invalid_environment_value_is_not_blamed_on_the_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    with pytest.raises(Failure, match=r"The environment has 1 invalid value\.") as caught:
        settings.ensure(root)
    assert "(from the environment: unset LOG_LEVEL to use the value in .env)" in caught.value.evidence[0]
    assert caught.value.next == "unset LOG_LEVEL, then repeat the command"


def test_two_ports_of_one_number_are_refused(root: Path) -> None:
    (root / ".env").write_text("WEB_PORT=4000\n")
    with pytest.raises(Failure) as caught:
        settings.ensure(root)
    assert caught.value.evidence == ("API_PORT must differ from WEB_PORT, but both are 4000",)


def test_a_secret_is_never_shown_in_a_complaint(root: Path) -> None:
    (root / ".env").write_text("POSTGRES_PASSWORD=hunter2\n")
    with pytest.raises(Failure) as caught:
        settings.ensure(root)
    assert "hunter2" not in caught.value.text()


def test_a_file_that_is_no_text_is_told(root: Path) -> None:
    (root / ".env").write_bytes(b"A=\xff\xfe\n")
    for read in (settings.ensure, settings.load):
        with pytest.raises(Failure, match=r"\.env cannot be read"):
            read(root)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("POSTGRES_USER", "pg_admin"),
        ("POSTGRES_USER", "public"),
        ("POSTGRES_USER", "none"),
        ("POSTGRES_DB", "template1"),
    ],
)
def test_a_name_that_postgresql_keeps_for_itself_is_refused(root: Path, key: str, name: str) -> None:
    kind = schema.read(ROOT / ".env.example")[key]
    assert "PostgreSQL" in values.CHECKS[kind.kind](name, kind.words)
    assert not values.CHECKS[kind.kind]("pgadmin", kind.words)


STRIPE = "\n\n# The payment provider's.\n# type: secret given{}\nSTRIPE_KEY=\n"


def test_given_secret_is_never_generated_and_reported_once(root: Path) -> None:
    settings.ensure(root)
    (root / ".env.example").write_text((root / ".env.example").read_text() + STRIPE.format(""))
    found = settings.ensure(root)
    assert found.values["STRIPE_KEY"] == ""
    assert found.notes == (
        ".env: appended from .env.example: STRIPE_KEY",
        "not set, because only you know them: STRIPE_KEY; write them into .env",
    )
    again = settings.ensure(root)
    assert (again.changed, again.notes, again.values["STRIPE_KEY"]) == (False, (), "")
    (root / ".env").unlink()
    assert settings.ensure(root).notes[0] == ".env created with 5 generated secrets"
    assert "STRIPE_KEY=\n" in (root / ".env").read_text()


def test_a_given_secret_that_is_required_is_asked_for_where_the_stack_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".env.example").write_text((root / ".env.example").read_text() + STRIPE.format(" required"))
    with pytest.raises(Failure) as caught:
        settings.ensure(root)
    assert caught.value.evidence == ("STRIPE_KEY must be set, because only you know it, but it is empty",)
    assert "STRIPE_KEY=\n" in (root / ".env").read_text()  # to be filled in
    assert settings.ensure(root, check=True, given=False).values["STRIPE_KEY"] == ""
    monkeypatch.setenv("STRIPE_KEY", "sk_1")
    assert settings.ensure(root).values["STRIPE_KEY"] == "sk_1"


def test_a_login_in_a_url_that_is_no_secret_is_never_shown(root: Path) -> None:
    (root / ".env.example").write_text((root / ".env.example").read_text() + "\n\n# type: url\nMAIL=\n")
    (root / ".env").write_text("MAIL=smtp://ann:hunter2@mail.example.org\n")
    with pytest.raises(Failure) as caught:
        settings.ensure(root)
    assert "MAIL must be a URL without a login" in caught.value.text()
    assert "hunter2" not in caught.value.text()


def test_an_entry_without_a_type_is_refused_among_those_that_have_one(root: Path) -> None:
    (root / ".env.example").write_text("A=1\n\n# type: port\nB=2\n")
    with pytest.raises(Failure, match="A needs one line '# type: T' above it"):
        settings.ensure(root)


GIVEN = ("OPENAI_API_KEY", "STRIPE_API_KEY", "AWS_SECRET_ACCESS_KEY", "SENTRY_DSN")
PLAIN = """\
# Copy me.
export APP_PORT=8080
DB_PASSWORD=
SECRET_KEY='' # 32 characters
JWT_SECRET= # openssl rand -hex 32
ADMIN_PASSWORD=changeme
OPENAI_API_KEY=
STRIPE_API_KEY=""
AWS_SECRET_ACCESS_KEY=
SENTRY_DSN=
# OLD_TOKEN=
PUBLIC_URL="http://$HOST:8080/#/"
DEBUG=
"""


def test_a_plain_example_is_copied_once_and_its_empty_secrets_are_made_or_named(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(PLAIN)
    found = settings.ensure(tmp_path)
    assert found.notes == (
        ".env created from .env.example; generated, as it has no value there: DB_PASSWORD, SECRET_KEY, JWT_SECRET",
        f"not set, because only you know them: {', '.join(GIVEN)}; write them into .env",
    )
    made = {found.values[key] for key in ("DB_PASSWORD", "SECRET_KEY", "JWT_SECRET")}
    assert [len(each) for each in made] == [32, 32, 32]
    assert (found.values["ADMIN_PASSWORD"], found.values["DEBUG"]) == ("changeme", "")
    text = (tmp_path / ".env").read_text()
    assert [line for line in text.splitlines() if line not in PLAIN.splitlines()] == [
        f"{key}={found.values[key]}" for key in ("DB_PASSWORD", "SECRET_KEY", "JWT_SECRET")
    ]
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    (tmp_path / ".env.example").write_text(f"{PLAIN}NEW_TOKEN=\n")
    again = settings.ensure(tmp_path)
    assert (again.changed, again.notes, (tmp_path / ".env").read_text()) == (False, (), text)
    assert again.values == settings.load(tmp_path).values


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (True, "DB_PASS MYSQL_ROOT_PASSWORD SECRET_KEY_BASE APP_KEY NEXTAUTH_SECRET API_TOKEN_SALT APP_TOKEN"),
        (False, "SMTP_PASSWORD GITHUB_TOKEN GOOGLE_CLIENT_SECRET ACME_API_KEY STRIPE_WEBHOOK_SECRET S3_SECRET_KEY"),
        (False, "AUTH0_SECRET JWT_PRIVATE_KEY STRIPE_SECRET_KEY openaiApiKey PUBLIC_KEY TOKEN_TTL PASSWORD_FILE DEBUG"),
    ],
)
def test_a_secret_is_made_only_where_its_name_says_that_nobody_else_gives_it(made: bool, names: str) -> None:
    assert [name for name in names.split() if schema.is_generated(name) != made] == []


def test_without_an_example_nothing_is_created_and_an_own_file_is_left_alone(tmp_path: Path) -> None:
    assert settings.ensure(tmp_path) == settings.load(tmp_path) == settings.Settings({})
    assert [*tmp_path.iterdir()] == []
    text = "A=1\nDB_PASSWORD=\nB: yaml\nC=$A\nPORT=x\n"
    (tmp_path / ".env").write_text(text)
    found = settings.ensure(tmp_path)
    assert (found.changed, found.notes, found.values["A"]) == (False, (), "1")
    assert (tmp_path / ".env").read_text() == text


def test_moved_ports_are_reason_enough_to_create_the_file(tmp_path: Path) -> None:
    settings.move_ports(tmp_path, {"WEB_PORT": 3010})
    assert (tmp_path / ".env").read_text() == "# Chosen by ./inv up --free-ports.\nWEB_PORT=3010\n"


@pytest.mark.parametrize(
    ("folder", "name"), [("Shop", "shop-"), ("My Shop!", "my-shop-"), ("ümlaut", "mlaut-"), ("___", "stack-")]
)
def test_the_name_comes_from_the_folder_and_tells_namesakes_apart(tmp_path: Path, folder: str, name: str) -> None:
    found = settings.stack_name(tmp_path / folder)
    assert found.startswith(name)
    assert found != settings.stack_name(tmp_path / "elsewhere" / folder)
    assert not values.CHECKS["name"](found, ())


def test_moved_ports_replace_the_old_ones_and_nothing_else(root: Path) -> None:
    settings.ensure(root)
    before = (root / ".env").read_text()
    settings.move_ports(root, {"WEB_PORT": 3010, "DOCS_PORT": 8010})
    after = (root / ".env").read_text()
    assert after.startswith(before.replace("WEB_PORT=3000", "WEB_PORT=3010"))
    assert after.endswith("\n# Chosen by ./inv up --free-ports.\nDOCS_PORT=8010\n")


def test_a_file_that_was_made_here_is_known_until_somebody_writes_to_it(root: Path) -> None:
    state, path = State(root), root / ".env"
    state.make()
    settings.ensure(root)
    assert settings.is_ours(root)
    settings.move_ports(root, {"WEB_PORT": 3999})
    with state.edit() as memory:
        memory.name = "shop"
    state.forget()  # as `down --volumes` does
    assert settings.is_ours(root)
    path.write_text(path.read_text() + "STRIPE_KEY=mine\n")
    assert not settings.is_ours(root)
    settings.move_ports(root, {"WEB_PORT": 3998})
    assert not settings.is_ours(root)
    path.rename(root / "elsewhere")
    settings.ensure(root)
    assert settings.is_ours(root)
    path.rename(root / "there")
    path.symlink_to(root / "there")
    assert not settings.is_ours(root)


def test_a_file_that_was_there_before_is_never_taken_for_one_that_was_made_here(root: Path) -> None:
    State(root).make()
    (root / ".env").write_text("WEB_PORT=3456\n")
    assert settings.ensure(root).changed
    assert not settings.is_ours(root)


def test_a_link_stays_one_and_what_it_leads_to_is_completed(root: Path, tmp_path: Path) -> None:
    shared = tmp_path / "secrets" / "shop.env"
    shared.parent.mkdir()
    shared.write_text("WEB_PORT=3111\n", encoding="utf-8")
    shared.chmod(0o640)
    (root / ".env").symlink_to(shared)
    assert settings.ensure(root).values["WEB_PORT"] == "3111"
    settings.move_ports(root, {"WEB_PORT": 3222})
    assert (root / ".env").is_symlink()
    assert "WEB_PORT=3222" in shared.read_text(encoding="utf-8")
    assert "POSTGRES_PASSWORD=" in shared.read_text(encoding="utf-8")
    assert shared.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in shared.parent.iterdir()] == ["shop.env"]


@pytest.mark.parametrize("check", [False, True])
def test_a_link_to_nothing_is_told_and_nothing_is_made(root: Path, check: bool) -> None:
    (root / ".env").symlink_to(root / "gone" / ".env")
    with pytest.raises(Failure) as refused:
        settings.ensure(root, check=check)
    assert f".env is a link to {root}/gone/.env, which does not exist." in refused.value.what
    assert "rm .env" in refused.value.next
    assert not (root / "gone").exists()


def test_root_leaves_the_settings_to_the_owner_of_the_checkout(root: Path) -> None:
    accounts.require_root()
    os.chown(root, 65534, 65534)
    settings.ensure(root)
    assert (root / ".env").stat().st_uid == 65534
    settings.move_ports(root, {"WEB_PORT": 3222})
    assert (root / ".env").stat().st_uid == 65534
