"""What only you can give an environment: it is named when it is missing, and never written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import secrets
from stackhand.infrastructure.plan import refuse_loss, summary
from stackhand.infrastructure.plan_warnings import SUBSCRIPTION, warnings
from stackhand.project.environments import Environment
from tests.terraform.plans import typed

NAME = "/shop/staging/STRIPE_KEY"
GIVEN = {"STRIPE_KEY": NAME}
PUT = "./inv secrets.set -e staging STRIPE_KEY"
EXAMPLE = """# type: secret given
STRIPE_KEY=

# type: secret generated
TOKEN=

# type: url
SITE=

# type: integer 1 9
WORKERS=
"""
COMPOSE = 'services: {shop: {image: "${SITE:?}", x-aws: {}, environment: ["SITE=${SITE:?}", "KEY=${STRIPE_KEY:?}"]}}\n'


def staging(**variables: Any) -> Environment:
    return Environment("staging", "shop", "eu-west-1", "123456789012", variables)


def parameter(action: str, name: str = NAME, key: str = "STRIPE_KEY") -> dict[str, Any]:
    return {
        "address": f'aws_ssm_parameter.other["{key}"]',
        "mode": "managed",
        "type": "aws_ssm_parameter",
        "name": "other",
        "change": {"actions": [action], "before": {"name": name}, "after": None},
    }


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield


def test_a_missing_one_is_named_with_the_command_that_gives_it(aws: None) -> None:
    with pytest.raises(Failure, match="staging has no value for STRIPE_KEY, which only you can provide") as caught:
        secrets.require(staging(), GIVEN)
    assert (caught.value.evidence, caught.value.code) == ((PUT,), ExitCode.PREFLIGHT)
    outputs = typed({"planned_values": {"outputs": {secrets.OUTPUT: {"value": GIVEN}}}})
    assert warnings(staging(alarm_email="a@b.org"), outputs, refreshed=True) == [
        f"STRIPE_KEY has no value in staging, and only you can provide it; a deploy would stop: {PUT}"
    ]


def test_one_that_is_there_is_left_alone(aws: None) -> None:
    client = staging().client("ssm")
    client.put_parameter(Name=NAME, Value="sk_live_1", Type="SecureString")
    secrets.require(staging(), GIVEN)
    found = client.get_parameter(Name=NAME, WithDecryption=True)["Parameter"]
    assert (found["Value"], found["Version"]) == ("sk_live_1", 1)


def test_an_emulator_is_given_something_and_never_what_is_there(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_VAR_aws_endpoint", "http://127.0.0.1:1")
    client = staging().client("ssm")
    client.put_parameter(Name=NAME, Value="mine", Type="String")
    secrets.require(staging(), GIVEN | {"OTHER": "/shop/staging/OTHER"})
    found = client.get_parameters(Names=[NAME, "/shop/staging/OTHER"])["Parameters"]
    assert {each["Name"]: each["Value"] for each in found} == {
        NAME: "mine",
        "/shop/staging/OTHER": "given-in-a-rehearsal",
    }


def test_what_terraform_made_once_is_forgotten_and_any_other_secret_is_not_deleted_in_passing() -> None:
    plan = typed({"resource_changes": [parameter("delete"), parameter("delete", "/shop/staging/OLD", "OLD")]})
    forgotten = secrets.forgotten(plan, GIVEN)
    assert forgotten == ['aws_ssm_parameter.other["STRIPE_KEY"]']
    found = summary(plan, {}, forgotten)
    assert [each.action for each in found.changes] == ["forget", "destroy"]
    with pytest.raises(Failure) as caught:
        refuse_loss("staging", found.document())
    assert caught.value.evidence == ('secret: aws_ssm_parameter.other["OLD"] (destroy)',)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SITE": "https://shop.example"}, []),
        ({"SITE": "https://shop.example", "WORKERS": 3, "MINE": True}, []),
        ({}, ["SITE has no value, but the Compose file requires one"]),
        ({"SITE": "shop"}, ["SITE must be a URL such as https://example.org"]),
        ({"SITE": "https://shop.example", "WORKERS": "10"}, ["WORKERS must be a whole number, 1 to 9"]),
        (
            {"SITE": "https://shop.example", "STRIPE_KEY": "sk_live_1"},
            [f"STRIPE_KEY is a secret and not read here: {PUT}"],
        ),
        (
            {"SITE": "https://shop.example", "TOKEN": "12345678"},
            ["TOKEN is a secret and not read here: Terraform generates it"],
        ),
    ],
)
def test_the_settings_of_an_environment_are_checked_as_those_of_a_laptop(
    tmp_path: Path, settings: dict[str, Any], said: list[str]
) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    if not said:
        secrets.check(staging(settings=settings), tmp_path)
        return
    with pytest.raises(Failure) as caught:
        secrets.check(staging(settings=settings), tmp_path)
    assert list(caught.value.evidence) == said
    assert "sk_live_1" not in caught.value.text()


def subscription(action: str, **after: Any) -> dict[str, Any]:
    change = {"type": SUBSCRIPTION, "address": "x", "change": {"actions": [action], "after": after}}
    return {"resource_changes": [change]}


@pytest.mark.parametrize(
    ("address", "plan", "refreshed", "said"),
    [
        (None, {}, True, "alarms have no recipient: alarm_email in environments/staging.tfvars is empty"),
        ("", {}, False, "alarms have no recipient: alarm_email in environments/staging.tfvars is empty"),
        ("a@b.org", {}, False, ""),
        ("a@b.org", subscription("create"), True, "AWS will send a mail to a@b.org: no alarm arrives before"),
        ("a@b.org", subscription("no-op", pending_confirmation=True), True, "no alarm arrives: a@b.org has not opened"),
        ("a@b.org", subscription("no-op", pending_confirmation=True), False, ""),
        ("a@b.org", subscription("no-op", pending_confirmation=False), True, ""),
    ],
)
def test_a_plan_warns_while_nobody_is_told_of_alarms(
    address: str | None, plan: dict[str, Any], refreshed: bool, said: str
) -> None:
    found = warnings(staging(alarm_email=address), typed(plan), refreshed=refreshed)
    assert len(found) == bool(said)
    assert json.dumps(found).startswith(f'["{said}' if said else "[]")
