"""The command line: `python -m service serve | develop | check | migrate [--plan|--status|--list] [--json]`."""

from __future__ import annotations

import argparse
import http.client
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.settings import Settings

CHECK_TIMEOUT = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer requests until SIGTERM")
    commands.add_parser("develop", help="serve, and restart when a source file changes")
    migrate = commands.add_parser("migrate", help="apply the pending migrations of service/migrations")
    migrate.add_argument("--status", action="store_true", help="only list applied and pending migrations")
    migrate.add_argument("--plan", action="store_true", help="only list pending migrations")
    migrate.add_argument("--list", action="store_true", help="only list the files; needs no database")
    migrate.add_argument("--json", action="store_true", help="print one JSON document")
    commands.add_parser("check", help="exit 0 if the service on this machine is ready: for container health checks")
    options = parser.parse_args(arguments)

    if options.command == "develop":
        return _develop()
    if options.command == "migrate" and options.list:
        from service.migration.command import list_files

        return list_files(as_json=options.json)

    from service.settings import Settings, SettingsError

    try:
        settings = Settings.from_environment(cache=options.command != "migrate")
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the log needs the settings
        return 2
    match options.command:
        case "serve":
            from service.server import serve

            return serve(settings)
        case "migrate":
            from service.migration.command import command

            return command(settings, status=options.status, plan=options.plan, as_json=options.json)
        case _:
            return check(settings)


def _develop() -> int:
    try:
        from service.develop import develop
    except ModuleNotFoundError:
        print("develop needs the development image; this image can only serve", file=sys.stderr)  # noqa: T201
        return 2
    return develop()


def check(settings: Settings) -> int:
    """Return 0 if the service on this machine is ready, else 1; the container has no curl for its health check."""
    connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=CHECK_TIMEOUT)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
    except OSError as error:
        print(f"no answer: {error}", file=sys.stderr)  # noqa: T201 - for docker inspect
        return 1
    print(body)  # noqa: T201
    return 0 if response.status == 200 else 1  # noqa: PLR2004 - OK


if __name__ == "__main__":
    sys.exit(main())
