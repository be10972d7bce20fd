"""The verbs on the secrets of an environment: a value comes from standard input or a prompt, and is never shown."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import secret_values
from stackhand.infrastructure.secrets import write_composed
from stackhand.project import environments
from stackhand.project.environments import Environment

ENVIRONMENT = Environment("staging", "shop", "eu-west-1", "123456789012")
PATH = "/shop/staging/STRIPE_KEY"
VALUE = "sk_live_{1}$`\n-----END-----"
EXAMPLE = """# type: secret given
STRIPE_KEY=

# type: secret given
LAPTOP_KEY=

# type: secret generated
TOKEN=

# type: integer 1 9
WORKERS=
"""
COMPOSE = """services:
  shop:
    image: shop
    x-aws: {port: 80}
    environment: ["KEY=${STRIPE_KEY:-}", "T=$TOKEN", "MAIL=${MAIL_URL:?}", "P=${PASSWORD:?}", "W=${WORKERS:-1}"]
  postgres: {image: postgres, x-aws: {}, environment: {POSTGRES_PASSWORD: "${PASSWORD:?}"}}
  laptop: {image: shop, environment: ["KEY=${LAPTOP_KEY:-}"]}
"""


@pytest.fixture
def ssm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / ".env.example").write_text(EXAMPLE)
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    monkeypatch.setattr(secret_values, "PROJECT", tmp_path)
    monkeypatch.setattr(environments, "load", lambda _name: ENVIRONMENT)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "TF_VAR_aws_endpoint"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield ENVIRONMENT.client("ssm")


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Any:
    def pipe(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return pipe


def put(name: str = "STRIPE_KEY") -> None:
    secret_values.set_value(environment="staging", name=name)


def stored(ssm: Any) -> dict[str, Any]:
    return dict(ssm.get_parameter(Name=PATH, WithDecryption=True)["Parameter"])


def test_a_value_is_stored_as_it_is_and_again_with_the_accounts_own_key(
    ssm: Any, piped: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ssm.put_parameter(Name=PATH, Value="theirs", Type="SecureString", KeyId="alias/theirs")
    piped(f"{VALUE}\n".encode())
    put()
    assert (stored(ssm)["Value"], stored(ssm)["Version"], stored(ssm)["Type"]) == (VALUE, 2, "SecureString")
    assert ssm.describe_parameters()["Parameters"][0]["KeyId"] == "alias/aws/ssm"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "typed")
    put()
    assert stored(ssm)["Value"] == "typed"
    said = capsys.readouterr()
    assert "STRIPE_KEY has version 3 in staging." in said.out
    assert not {VALUE, "typed"} & {*said.out.split(), *said.err.split()}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("STRIPE_KEY", b"", "The value of STRIPE_KEY is empty."),
        ("STRIPE_KEY", b"\n", "The value of STRIPE_KEY is empty."),
        ("STRIPE_KEY", b"x" * 8193, "The value of STRIPE_KEY has 8193 bytes."),
        ("STRIPE_KEY", b"\xff", "The value of STRIPE_KEY is not text."),
        ("TOKEN", b"mine", "Terraform generates TOKEN, and would replace your value with the next rotation."),
        ("PASSWORD", b"mine", "Terraform generates PASSWORD, and would replace your value with the next rotation."),
        ("WORKERS", b"3", "No service on AWS reads a secret WORKERS."),
        ("LAPTOP_KEY", b"mine", "No service on AWS reads a secret LAPTOP_KEY."),
    ],
    ids=["empty", "a line end", "too long", "no text", "generated", "of a database", "no secret", "not on AWS"],
)
def test_what_no_task_could_use_is_refused_and_nothing_is_stored(
    ssm: Any, piped: Any, name: str, content: bytes, sentence: str
) -> None:
    piped(content)
    with pytest.raises(Failure) as caught:
        put(name)
    assert (caught.value.what, caught.value.code) == (sentence, ExitCode.USAGE)
    assert ssm.describe_parameters()["Parameters"] == []


def test_what_aws_refuses_is_told_without_the_value(ssm: Any, piped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    def refuse(**given: Any) -> None:
        raise ClientError(
            {"Error": {"Code": "ValidationException", "Message": f"bad: {given['Value']}"}}, "PutParameter"
        )

    monkeypatch.setattr(ssm, "put_parameter", refuse)
    sts = ENVIRONMENT.client("sts")
    monkeypatch.setattr(Environment, "client", lambda _self, name: {"ssm": ssm, "sts": sts}[name])
    piped(b"sk_live_secret")
    with pytest.raises(Failure) as caught:
        put()
    assert "bad: the value" in caught.value.text()
    assert "sk_live_secret" not in caught.value.text()


def test_plain_text_is_not_overwritten_as_if_ssm_would_encrypt_it(ssm: Any, piped: Any) -> None:
    ssm.put_parameter(Name=PATH, Value="plain", Type="String")
    piped(b"mine")
    with pytest.raises(Failure, match="STRIPE_KEY is stored as plain text") as caught:
        put()
    assert "./inv secrets.unset -e staging STRIPE_KEY" in caught.value.next
    assert stored(ssm)["Value"] == "plain"


def test_a_url_with_a_password_follows_its_rotation_and_is_written_only_then(ssm: Any) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/ours"
    names = {"PASSWORD": "/shop/staging/PASSWORD", "STRIPE_KEY": PATH}
    text = "postgres://app:{PASSWORD}@db.rds:5432/app?key={STRIPE_KEY}&literal={app}"
    url = "/shop/staging/composed/shop.DATABASE_URL"
    outputs = {"compositions": [{"parameter": url, "key": key, "text": text, "secrets": names}]}
    with pytest.raises(Failure) as caught:
        write_composed(ENVIRONMENT, outputs)
    assert list(caught.value.evidence) == [f"there is no parameter {each}" for each in sorted([*names.values(), url])]
    for name, value in ((url, "not composed yet"), (names["PASSWORD"], "{STRIPE_KEY}"), (PATH, "sk")):
        ssm.put_parameter(Name=name, Value=value, Type="SecureString")
    written = []
    for password in ("{STRIPE_KEY}", "{STRIPE_KEY}", "rotated"):
        ssm.put_parameter(Name=names["PASSWORD"], Value=password, Type="SecureString", Overwrite=True)
        written.append(write_composed(ENVIRONMENT, outputs))
        found = ssm.get_parameter(Name=url, WithDecryption=True)["Parameter"]
        assert found["Value"] == f"postgres://app:{password}@db.rds:5432/app?key=sk&literal={{app}}"
    assert written == [[url], [], [url]]
    assert found["Version"] == 3
    assert write_composed(ENVIRONMENT, {}) == []


@pytest.mark.usefixtures("ssm")
def test_the_password_of_an_existing_database_is_no_secret_of_the_environment() -> None:
    assert "PASSWORD" in {each.name for each in secret_values.stored(ENVIRONMENT)}
    there = {"existing_databases": {"postgres": {"instance": "corp", "password": "arn:aws:ssm:x:1:parameter/corp"}}}
    named = {each.name for each in secret_values.stored(replace(ENVIRONMENT, variables=there))}
    assert "PASSWORD" not in named
    assert "STRIPE_KEY" in named


def test_a_url_is_composed_of_a_password_where_its_owner_keeps_it(ssm: Any) -> None:
    secrets = ENVIRONMENT.client("secretsmanager")
    arn = secrets.create_secret(Name="corp", SecretString='{"password": "theirs"}')["ARN"]
    ssm.put_parameter(Name="/corp/cache", Value="of the cache", Type="SecureString")
    url = "/shop/staging/composed/shop.URL"
    ssm.put_parameter(Name=url, Value="not composed yet", Type="SecureString")
    where = {"PASSWORD": f"{arn}:password::", "OTHER": "arn:aws:ssm:eu-west-1:123456789012:parameter/corp/cache"}
    one = {"parameter": url, "key": "alias/aws/ssm", "text": "{PASSWORD} and {OTHER}", "secrets": where}
    assert write_composed(ENVIRONMENT, {"compositions": [one]}) == [url]
    assert ssm.get_parameter(Name=url, WithDecryption=True)["Parameter"]["Value"] == "theirs and of the cache"
    one["secrets"] = {**where, "PASSWORD": f"{arn}:name::"}
    with pytest.raises(Failure, match="has no key name"):
        write_composed(ENVIRONMENT, {"compositions": [one]})
    one["secrets"] = {**where, "PASSWORD": arn}
    assert write_composed(ENVIRONMENT, {"compositions": [one]}) == [url]


def test_secrets_are_listed_without_values_and_unset_one_by_one(ssm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("STRIPE_KEY", "OLD"):
        ssm.put_parameter(Name=f"/shop/staging/{name}", Value="sk_live_1", Type="SecureString")
    ssm.put_parameter(Name="/shop/production/STRIPE_KEY", Value="sk_live_2", Type="SecureString")
    found = {each.name: (each.kind, each.version, bool(each.changed)) for each in secret_values.stored(ENVIRONMENT)}
    assert found == {
        "MAIL_URL": ("given", 0, False),
        "OLD": ("unused", 1, True),
        "PASSWORD": ("generated", 0, False),
        "STRIPE_KEY": ("given", 1, True),
        "TOKEN": ("generated", 0, False),
    }
    secret_values.show(environment="staging", json=False)
    assert "sk_live" not in capsys.readouterr().out
    for name in ("STRIPE_KEY", "OLD"):
        secret_values.unset(environment="staging", name=name, yes=True)
    with pytest.raises(Failure, match="staging has no value for OLD"):
        secret_values.unset(environment="staging", name="OLD", yes=True)
    with pytest.raises(Failure, match="Terraform generates TOKEN"):
        secret_values.unset(environment="staging", name="TOKEN", yes=True)
    assert [each["Name"] for each in ssm.describe_parameters()["Parameters"]] == ["/shop/production/STRIPE_KEY"]
