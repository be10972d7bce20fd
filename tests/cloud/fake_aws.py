"""An AWS that answers as a test says."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.project.environments import Environment

STAGING = Environment("staging", "shop", "eu-west-1", "123456789012")
Reply = tuple[int, str]
WHO = """<GetCallerIdentityResponse><GetCallerIdentityResult>
<Arn>arn:aws:sts::123456789012:assumed-role/deployer/ann</Arn><Account>123456789012</Account><UserId>A</UserId></GetCallerIdentityResult></GetCallerIdentityResponse>"""


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
    """Return an error as STS and IAM answer with one."""
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    return f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>"


def given_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the shell a key that the AWS of a test may take for good."""
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")


def refused() -> Failure:
    """Return the failure of the check that precedes all that changes AWS, which says how to go on."""
    with pytest.raises(Failure) as found:
        account.check(STAGING)
    assert found.value.code == ExitCode.PREFLIGHT
    assert found.value.next.endswith(", then repeat the command")
    return found.value
