"""The service's command line: `python -m service serve | develop | migrate [--plan|--status] [--json] | check`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer requests until SIGTERM")
    commands.add_parser("develop", help="serve, and begin anew when a source file changes")
    migrate = commands.add_parser("migrate", help="apply what service/migrations has and the database has not")
    migrate.add_argument("--status", action="store_true", help="only say what is applied and what is not")
    migrate.add_argument("--plan", action="store_true", help="only say what would be applied")
    migrate.add_argument("--json", action="store_true", help="one JSON document on stdout")
    commands.add_parser("check", help="exit 0 if the service on this machine is ready: for container health checks")
    given = parser.parse_args(arguments)

    if given.command == "develop":
        try:
            from service.develop import develop
        except ModuleNotFoundError:
            print("develop: this is no development image; serve is what it can do", file=sys.stderr)  # noqa: T201
            return 2
        return develop()

    from service.settings import Settings, SettingsError

    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the log is not set up without settings
        return 2
    match given.command:
        case "serve":
            from service.server import serve

            return serve(settings)
        case "migrate":
            from service.migrate import command

            return command(settings, status=given.status, plan=given.plan, as_json=given.json)
        case _:
            from service.check import check

            return check(settings)


if __name__ == "__main__":
    sys.exit(main())
