"""Which credentials we have for AWS, and what renews them: each bad first day, over boto3's own ways to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import psutil
import pytest

from stackhand.aws.errors import code_of
from stackhand.cli.failure import Failure
from stackhand.infrastructure import account
from stackhand.release.heartbeat import LeaseRequest
from tests.checkout import ROOT
from tests.cloud.fake_aws import STAGING, aws, error, given_keys, refused

SSO = """
[profile staging]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = deployer
[profile legacy]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = deployer
[profile deployer]
role_arn = arn:aws:iam::123456789012:role/deployer
source_profile = staging
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_registration_scopes = sso:account:access
"""


@pytest.mark.parametrize(
    "case",
    [
        ("", {}, "There are no credentials for AWS.", "aws configure sso"),
        (
            SSO,
            {"AWS_PROFILE": "nobody"},
            "There is no AWS profile nobody on this machine.",
            "deployer, legacy, staging",
        ),
        (SSO, {"AWS_PROFILE": ""}, "AWS_PROFILE is set but empty.", "unset AWS_PROFILE"),
        ("[profile x\nregion", {}, "AWS's configuration file cannot be read.", "correct "),
        ("", {"AWS_ACCESS_KEY_ID": "AKIA"}, "The credentials are not complete.", "add AWS_SECRET_ACCESS_KEY"),
        (
            "[profile vault]\ncredential_process = sh -c 'echo the vault is sealed >&2; exit 3'",
            {"AWS_PROFILE": "vault"},
            "The credential_process of AWS profile vault failed.",
            "the vault is sealed",
        ),
        (
            "[profile vault]\ncredential_process = /nowhere/vault",
            {"AWS_PROFILE": "vault"},
            "The credential_process of AWS profile vault failed.",
            "No such file or directory: '/nowhere/vault'",
        ),
        (
            "[profile vault]\ncredential_process = echo hello",
            {"AWS_PROFILE": "vault"},
            "The credential_process of AWS profile vault failed.",
            "aws configure export-credentials --profile vault",
        ),
        (
            SSO,
            {"AWS_PROFILE": "staging"},
            "The session of AWS profile staging has expired, or was never started.",
            "aws sso login --profile staging, then",
        ),
        (
            SSO,
            {"AWS_PROFILE": "legacy"},
            "The session of AWS profile legacy has expired, or was never started.",
            "aws sso login --profile legacy, then",
        ),
        (
            SSO,
            {"AWS_PROFILE": "deployer"},
            "The session of AWS profile deployer has expired, or was never started.",
            "aws sso login --profile staging, then",
        ),
        (
            "[profile deployer]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = gone",
            {"AWS_PROFILE": "deployer"},
            "The configuration of AWS profile deployer is not valid.",
            "correct ",
        ),
        (
            "[profile dev]\nlogin_session = arn:aws:iam::1:user/ann",
            {"AWS_PROFILE": "dev"},
            "",
            "--profile dev",
        ),
        (
            "",
            {"AWS_ROLE_ARN": "arn:aws:iam::1:role/ci", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token"},
            "The token for a role of AWS cannot be read.",
            "/nowhere/token",
        ),
        (
            "",
            {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B", "AWS_ENDPOINT_URL": "localhost:4566"},
            "There is no such address of AWS.",
            "correct or unset AWS_ENDPOINT_URL",
        ),
    ],
    ids=[
        *(
            "nothing",
            "no-profile",
            "empty-profile",
            "broken-file",
            "half-a-key",
            "process-fails",
            "no-process",
            "process-says-hello",
        ),
        *("sso", "legacy-sso", "role-over-sso", "no-source", "aws-login", "no-token", "no-address"),
    ],
)
def test_what_is_wrong_with_credentials_is_reported_with_what_renews_them(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, dict[str, str], str, str]
) -> None:
    config, settings, what, words = case
    (aws_files / "config").write_text(config, encoding="utf-8")
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    found = refused()
    assert found.what == (what or found.what)
    assert words in found.text()


@pytest.mark.parametrize(
    "case",
    [
        (403, error("ExpiredToken"), 0, "The credentials expired.", "AWS_SESSION_TOKEN"),
        (403, error("InvalidClientTokenId"), 0, "AWS does not accept the keys in AWS_ACCESS_KEY_ID.", "not enabled"),
        (403, error("SignatureDoesNotMatch"), 22, "This machine's clock is 22 minutes behind AWS's.", "set the clock"),
        (503, error("Slow"), 0, "AWS is too busy to answer.", "wait a minute"),
    ],
)
def test_what_aws_answers_decides(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[int, str, int, str, str]
) -> None:
    status, reply, ahead, what, words = case
    given_keys(monkeypatch)
    with aws(lambda *_: (status, reply), ahead=timedelta(minutes=ahead)) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(Failure) as found:
            account.check(STAGING)
    assert found.value.what == what
    assert words in found.value.text()


def test_a_role_that_may_not_be_taken_is_no_answer_to_another_question(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = "[keys]\naws_access_key_id = A\naws_secret_access_key = B\n"
    (aws_files / "credentials").write_text(keys, encoding="utf-8")
    role = "[profile deployer]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = keys\nregion = eu-west-1\n"
    (aws_files / "config").write_text(role, encoding="utf-8")
    monkeypatch.setenv("AWS_PROFILE", "deployer")
    said = (
        "User: arn:aws:iam::1:user/ann is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::1:role/x"
    )
    with aws(lambda *_: (403, error("AccessDenied", said))) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        assert refused().what == "AWS does not let profile deployer assume its role."
        with pytest.raises(Exception, match="sts:AssumeRole") as found:
            STAGING.client("ssm").get_parameters(Names=["x"])
    assert code_of(found.value) == ""  # or a preflight would note that parameters may not be looked at, and go on


def test_the_process_that_takes_the_lease_explains_it_too(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (aws_files / "config").write_text("", encoding="utf-8")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    me = os.getpid()
    request = LeaseRequest("staging", "ann", "c0ffee", "", 0.0, me, psutil.Process(me).create_time())
    command = [sys.executable, "-m", "stackhand.release.heartbeat"]
    done = subprocess.run(command, cwd=ROOT, input=msgspec.json.encode(request), capture_output=True, check=True)
    assert json.loads(done.stdout)["failure"]["what"] == "There is no AWS profile nobody on this machine."
