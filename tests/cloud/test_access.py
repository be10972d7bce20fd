"""Whether AWS can be reached, and lets us do it: another account, a proxy, a certificate, a permission."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stackhand.aws.session import session
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account, bucket
from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment
from tests.cloud.fake_aws import STAGING, WHO, Reply, aws, error, given_keys, refused
from tests.tls import Authority, pem


def test_another_account_is_reported_by_verbs_that_only_read(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_keys(monkeypatch)
    other = Environment("production", "shop", "eu-west-1", "999999999999")
    with aws(lambda method, *_: (403, error("AccessDenied")) if method == "GET" else (200, WHO)) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(Failure, match="You are logged in to account 123456789012, but production belongs to 9999"):
            Store(other).read("current.json")
        with pytest.raises(Failure, match=r"cannot be used: AWS does not allow s3:GetObject\."):
            Store(STAGING).read("current.json")


def test_a_proxy_in_the_way_is_named_without_its_login(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_keys(monkeypatch)
    with aws(lambda *_: (407, "")) as address:
        monkeypatch.setenv("HTTPS_PROXY", address.replace("//", "//ann:secret@"))
        found = refused()
    assert re.fullmatch(f"The proxy .*{address.partition('//')[2]} does not reach AWS.", found.what)
    assert "407" in found.text()
    assert f"HTTPS_PROXY={address.replace('//', '//***@')}" in found.evidence
    assert "secret" not in found.text()
    assert found.next.startswith("correct HTTPS_PROXY")


def test_a_certificate_that_nobody_trusts_here_is_trusted_by_the_one_variable(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.make()
    authority.issue(aws_files, "127.0.0.1")
    (aws_files / "bundle.pem").write_bytes(pem(authority.certificate))
    given_keys(monkeypatch)
    with aws(lambda *_: (200, WHO), tls=aws_files) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        found = refused()
        assert found.what == f"The certificate that {address.removeprefix('https://')} shows is not trusted here."
        assert "export SSL_CERT_FILE=" in found.next
        monkeypatch.setenv("SSL_CERT_FILE", str(aws_files / "gone.pem"))
        session.cache_clear()
        assert "correct SSL_CERT_FILE" in refused().next
        monkeypatch.setenv("SSL_CERT_FILE", str(aws_files / "bundle.pem"))
        session.cache_clear()
        assert account.check(STAGING).endswith("deployer/ann")


def test_a_missing_permission_is_reported_at_every_call_of_bootstrap(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket is made by some ten requests; each of them is refused in its turn."""
    given_keys(monkeypatch)
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
