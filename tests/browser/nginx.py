"""nginx alone, with the configuration of the stack, for tests with a stub API."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from stackhand.local.engines.embedded import folders
from stackhand.local.engines.embedded.servers.nginx import Nginx
from stackhand.project import settings
from stackhand.project.stack import loading
from stackhand.project.state import State
from tests.checkout import Checkout, eventually


@contextmanager
def nginx(folder: Path, *edits: tuple[str, str], **environment: str) -> Iterator[Checkout]:
    """Give a copy of the checkout in a folder, whose page nginx serves.

    Args:
        folder: of the copy.
        edits: of its template.
        environment: more variables of the service.
    """
    checkout = Checkout.make(folder)
    for old, new in edits:
        checkout.edit("web/nginx.conf.template", old, new)
    settings.ensure(folder)
    state = State(folder)
    state.make()
    stack = loading.load(folder, settings.load(folder).values)
    web = stack.services["web"]
    server = Nginx(msgspec.structs.replace(web, environment=web.environment | environment), stack, state)
    server.prepare()
    program = server.program()
    for name, text in program.files.items():
        folders.write(Path(name), text.encode(), program.account)
    prefix, who = ([*program.account.prefix], program.account.arguments()) if program.account else ([], {})
    child = subprocess.Popen([*prefix, *program.argv], cwd=program.directory, stdout=subprocess.DEVNULL, **who)
    try:
        eventually(lambda: _answers(f"http://127.0.0.1:{checkout.ports['WEB_PORT']}/healthz"), "nginx answers")
        yield checkout
    finally:
        child.terminate()
        child.wait(10)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status)
    except urllib.error.URLError:
        return False
