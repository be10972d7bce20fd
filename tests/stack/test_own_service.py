"""A service of the user's own: few lines in docker-compose.yml, and every verb and the page know it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.checkout import Checkout

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
SERVICE = """
  hello:
    build: {{context: hello}}
    init: true
    ports: ["127.0.0.1:{port}:8000"]
    x-health: /
    x-embedded: {{command: python -m http.server $$PORT --bind 127.0.0.1 --directory hello}}
"""
DOCKERFILE = """
FROM node:24-alpine
COPY server.js /server.js
CMD ["node", "/server.js"]
"""
SERVER = """
require("node:http").createServer((request, response) => {
  console.log(`GET ${request.url} HTTP`);
  response.end("hello from node");
}).listen(8000);
"""


@pytest.fixture
def lines(stack: Checkout) -> Iterator[str]:
    """The lines of the service, which stand in the stack's Compose file meanwhile."""
    found = SERVICE.format(port=stack.spare)
    folder = stack.path / "hello"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "server.js").write_text(SERVER)
    (folder / "index.html").write_text("hello from python")
    stack.edit("docker-compose.yml", "\nvolumes:\n", f"{found}\nvolumes:\n")
    yield found
    text = (stack.path / "docker-compose.yml").read_text(encoding="utf-8")
    (stack.path / "docker-compose.yml").write_text(text.replace(found, ""), encoding="utf-8")
    stack.inv("up")


def test_a_third_service_is_seen_everywhere(lines: str, stack: Checkout, request: pytest.FixtureRequest) -> None:
    assert len(lines.strip().splitlines()) <= 10
    said = stack.inv("up")
    assert any(line.split()[1:2] == ["hello"] for line in said.out.splitlines())
    assert f"http://127.0.0.1:{stack.spare}" in said.out
    service = stack.services()["hello"]
    assert (service["state"], service["answer"]) == ("healthy", "200 OK")
    assert "hello" in stack.ask("/health/all")[1]["checks"]
    assert "GET / HTTP" in stack.inv("logs", "hello").out
    if stack.engine == "embedded":  # the page is the same file on both, and shows what /health/all says
        seen_on_the_page(request.getfixturevalue("browser"), stack)

    stack.edit("docker-compose.yml", lines, "")
    stack.inv("up")
    assert "hello" not in stack.services()
    assert "is already up" in stack.inv("up").out


def seen_on_the_page(browser: Browser, stack: Checkout) -> None:
    from playwright.sync_api import expect

    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{stack.ports['WEB_PORT']}/")
    expect(page.locator(".components li", has_text="hello")).to_contain_text("Operational", timeout=15_000)
    context.close()
