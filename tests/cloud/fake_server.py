"""The fake ECS behind a real endpoint, so that boto3 in any process can ask it; and its load balancer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.cloud.fake_ecs import World
from tests.cloud.fake_refusals import Refused
from tests.oracles.requests import answers


@contextmanager
def serving(world: World) -> Iterator[str]:
    """Serve a world at a free port of 127.0.0.1, and return its address."""
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else the body waits for the 40 ms of a delayed ACK of the headers

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            target = self.headers.get("x-amz-target", "")
            service, _, operation = target.rpartition(".")
            words = json.loads(body or b"{}")
            with turn:
                try:
                    if service.startswith("Logs_"):
                        found = log_events(world, words) if operation == "GetLogEvents" else log_groups(world)
                    else:
                        found = world.call(operation, words)
                except Refused as refused:
                    self.say(refused.status, {"__type": refused.code, "message": refused.message})
                    return
            answer = _public(found)
            if wrong := [*answers("logs" if service.startswith("Logs_") else "ecs", operation, answer)]:
                self.say(400, {"__type": "NoAnswerOfAWS", "message": "; ".join(wrong)})
                return
            self.say(200, answer)

        def do_GET(self) -> None:
            with turn:
                status, found = world.answer(self.path)
            self.say(status, found)

        def say(self, status: int, found: dict[str, Any]) -> None:
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def log_events(world: World, words: dict[str, Any]) -> dict[str, Any]:
    """Answer GetLogEvents."""
    lines = world.logs.get(words["logStreamName"])
    if lines is None:
        raise Refused("ResourceNotFoundException", "The specified log stream does not exist.")
    start = int(words.get("nextToken", "0").rpartition("/")[2])
    events = [
        {"timestamp": 1, "ingestionTime": 1, "message": line} for line in lines[start:][-words.get("limit", 100) :]
    ]
    return {"events": events, "nextForwardToken": f"f/{len(lines)}", "nextBackwardToken": "b/0"}


def log_groups(world: World) -> dict[str, Any]:
    """Answer DescribeLogGroups."""
    return {"logGroups": [{"logGroupName": f"/shop/{name.removeprefix('shop-')}"} for name in world.services]}


def _public(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _public(value) for key, value in found.items() if not key.startswith("_")}
    return [_public(each) for each in found] if isinstance(found, list) else found
