"""Who we are for AWS, and whether it can be reached: each bad first day, over boto3's own ways to credentials."""

from __future__ import annotations

import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import psutil
import pytest

from stackhand.aws.errors import code_of
from stackhand.aws.session import session
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account, bucket
from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment
from stackhand.release.heartbeat import LeaseRequest
from tests.checkout import ROOT
from tests.tls import Authority, pem

STAGING = Environment("staging", "shop", "eu-west-1", "123456789012")
Reply = tuple[int, str]
WHO = """<GetCallerIdentityResponse><GetCallerIdentityResult>
<Arn>arn:aws:sts::123456789012:assumed-role/deployer/ann</Arn><Account>123456789012</Account><UserId>A</UserId></GetCallerIdentityResult></GetCallerIdentityResponse>"""
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


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for AWS's two files, and a shell with nothing of AWS in it but them."""
    for name in os.environ:
        if name.startswith(("AWS_", "GITHUB_")) or name.upper().endswith(("_PROXY", "CA_BUNDLE", "SSL_CERT_FILE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    session.cache_clear()
    yield tmp_path
    session.cache_clear()


@contextlib.contextmanager
def aws(
    reply: Callable[[str, str, str], Reply], *, ahead: timedelta = timedelta(), tls: Path | None = None
) -> Iterator[str]:
    """Serve an AWS that answers as a test says (method, path, body), with a clock that is ahead of ours."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            status, text = reply(self.command, self.path, body)
            self.send_response_only(status)
            self.send_header("date", format_datetime(datetime.now(UTC) + ahead, usegmt=True))
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text.encode())

        do_GET = do_PUT = do_POST = do_HEAD = do_CONNECT = answer  # noqa: N815 - as the class wants them

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.crt", tls / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that does not trust it hangs up
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def error(code: str, message: str = "no") -> str:
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    return f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>"


def refused() -> Failure:
    with pytest.raises(Failure) as found:
        account.check(STAGING)
    assert found.value.code == ExitCode.PREFLIGHT
    assert found.value.next.endswith(", then repeat the command")
    return found.value


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
    files: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, dict[str, str], str, str]
) -> None:
    config, settings, what, words = case
    (files / "config").write_text(config, encoding="utf-8")
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
    files: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[int, str, int, str, str]
) -> None:
    status, reply, ahead, what, words = case
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    with aws(lambda *_: (status, reply), ahead=timedelta(minutes=ahead)) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(Failure) as found:
            account.check(STAGING)
    assert found.value.what == what
    assert words in found.value.text()


def test_a_role_that_may_not_be_taken_is_no_answer_to_another_question(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = "[keys]\naws_access_key_id = A\naws_secret_access_key = B\n"
    (files / "credentials").write_text(keys, encoding="utf-8")
    role = "[profile deployer]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = keys\nregion = eu-west-1\n"
    (files / "config").write_text(role, encoding="utf-8")
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


def test_the_process_that_takes_the_lease_explains_it_too(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / "config").write_text("", encoding="utf-8")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    me = os.getpid()
    request = LeaseRequest("staging", "ann", "c0ffee", "", 0.0, me, psutil.Process(me).create_time())
    command = [sys.executable, "-m", "stackhand.release.heartbeat"]
    done = subprocess.run(command, cwd=ROOT, input=msgspec.json.encode(request), capture_output=True, check=True)
    assert json.loads(done.stdout)["failure"]["what"] == "There is no AWS profile nobody on this machine."


def test_another_account_is_reported_by_verbs_that_only_read(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    other = Environment("production", "shop", "eu-west-1", "999999999999")
    with aws(lambda method, *_: (403, error("AccessDenied")) if method == "GET" else (200, WHO)) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(Failure, match="You are logged in to account 123456789012, but production belongs to 9999"):
            Store(other).read("current.json")
        with pytest.raises(Failure, match=r"cannot be used: AWS does not allow s3:GetObject\."):
            Store(STAGING).read("current.json")


def test_a_proxy_in_the_way_is_named_without_its_login(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    with aws(lambda *_: (407, "")) as address:
        monkeypatch.setenv("HTTPS_PROXY", address.replace("//", "//ann:secret@"))
        found = refused()
    assert re.fullmatch(f"The proxy .*{address.partition('//')[2]} does not reach AWS.", found.what)
    assert "407" in found.text()
    assert f"HTTPS_PROXY={address.replace('//', '//***@')}" in found.evidence
    assert "secret" not in found.text()
    assert found.next.startswith("correct HTTPS_PROXY")


def test_a_certificate_that_nobody_trusts_here_is_trusted_by_the_one_variable(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.make()
    authority.issue(files, "127.0.0.1")
    (files / "bundle.pem").write_bytes(pem(authority.certificate))
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    with aws(lambda *_: (200, WHO), tls=files) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        found = refused()
        assert found.what == f"The certificate that {address.removeprefix('https://')} shows is not trusted here."
        assert "export SSL_CERT_FILE=" in found.next
        monkeypatch.setenv("SSL_CERT_FILE", str(files / "gone.pem"))
        session.cache_clear()
        assert "correct SSL_CERT_FILE" in refused().next
        monkeypatch.setenv("SSL_CERT_FILE", str(files / "bundle.pem"))
        session.cache_clear()
        assert account.check(STAGING).endswith("deployer/ann")


def test_a_missing_permission_is_reported_at_every_call_of_bootstrap(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket is made by some ten requests; each of them is refused in its turn."""
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    asked: list[str] = []
    refuse_at = 0

    def s3(method: str, path: str, _body: str) -> Reply:
        asked.append(f"{method} {path.rpartition('?')[2]}")
        if len(asked) == refuse_at:
            return 403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        if method == "PUT":
            return 200, ""
        return 404, "<Error><Code>NoSuchBucketPolicy</Code><Message>none</Message></Error>"

    failures: dict[str, Failure] = {}
    with aws(s3) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        while not asked or len(asked) >= refuse_at:
            asked.clear()
            refuse_at += 1
            try:
                bucket.make(STAGING)
            except Failure as failure:
                failures[asked[-1]] = failure
    assert len(failures) == refuse_at - 1 > 7
    made = failures.pop(f"PUT /{STAGING.bucket}")
    assert made.what == f"The bucket {STAGING.bucket} cannot be created: AWS does not allow s3:CreateBucket."
    assert (made.code, made.next.split(",")[0]) == (
        ExitCode.PREFLIGHT,
        "grant s3:CreateBucket to your role (docs/operations.md)",
    )
    unversioned = failures.pop("PUT versioning")
    assert unversioned.code == ExitCode.FAILED
    assert unversioned.next.endswith(f"--bucket {STAGING.bucket} && ./inv bootstrap -e staging")
    assert all(each.evidence for each in failures.values())
    del failures[f"HEAD /{STAGING.bucket}"]
    assert {each.code for each in failures.values()} == {ExitCode.FAILED}
    assert "s3:PutEncryptionConfiguration" in failures["PUT encryption"].what
