"""`./inv cache.shell`: talk to the Redis-protocol server."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import Any

from stackhand.cli import console
from stackhand.database import choice
from stackhand.local import status
from stackhand.local.engines import login
from stackhand.project import inherited

CLIENTS = ("valkey-cli", "redis-cli")


def shell(*, service: str | None) -> None:
    """Become redis-cli where there is one; else read commands from standard input and print the answers.

    Raises:
        Failure: the stack does not run, or has no such server, or several.
    """
    engine = choice.engine()
    service_named = choice.choose(engine.stack, "cache.shell", service, [choice.CACHE])
    status.require(engine, service_named)
    port, password = service_named.port, login.of_cache(service_named)
    if port is None:
        argv, environment = engine.cache_client(service_named)
        sys.stdout.flush()
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - the very purpose
    client = next(filter(None, map(shutil.which, CLIENTS)), None)
    if client:
        sys.stdout.flush()
        argv = [client, "-h", "127.0.0.1", "-p", str(port), "--no-auth-warning"]
        os.execve(client, argv, inherited.environment("client", REDISCLI_AUTH=password))  # noqa: S606 - the very purpose
    _converse(port, password)


def _converse(port: int, password: str) -> None:
    import redis

    connection = redis.Redis(host="127.0.0.1", port=port, password=password or None, decode_responses=True)
    connection.response_callbacks.clear()  # the server's own answers, not what redis-py makes of them
    interactive = sys.stdin.isatty()
    while True:
        try:
            line = input(f"127.0.0.1:{port}> " if interactive else "")
        except EOFError:
            return
        try:
            args = shlex.split(line)
            if args in (["exit"], ["quit"]):
                return
            if args:
                console.show(_shown(connection.execute_command(*args)))  # type: ignore[no-untyped-call]
        except (redis.RedisError, ValueError) as error:
            console.write(f"(error) {error}")


def _shown(answer: Any, depth: int = 0) -> str:
    """Return an answer as redis-cli shows it."""
    if answer is None:
        return "(nil)"
    if isinstance(answer, int):
        return f"(integer) {answer}"
    if isinstance(answer, dict):
        answer = [item for pair in answer.items() for item in pair]
    if isinstance(answer, (list, tuple, set)):
        lines = [f"{number}) {_shown(item, depth + 1)}" for number, item in enumerate(answer, 1)]
        return ("\n" + "   " * depth).join(lines) or "(empty)"
    return str(answer)
