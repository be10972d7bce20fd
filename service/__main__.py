"""The command line: `python -m service serve | develop | check | migrate [--plan|--status|--list] [--json]`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

PORT = os.environ.get("PORT") or "4000"
"""Where the service listens; what is no port, the settings report."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = sys.argv[1:] if arguments is None else [*arguments]
    if given == ["check"] and PORT.isdecimal() and 0 < int(PORT) < 65536:  # noqa: PLR2004 - ports
        from service.check import check

        return check(int(PORT))
    return _run(given)


def _run(arguments: Sequence[str]) -> int:
    """Run a command with what the environment says."""
    import argparse

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
            from service.check import check

            return check(settings.port)


def _develop() -> int:
    try:
        from service.develop import develop
    except ModuleNotFoundError:
        print("develop needs the development image; this image can only serve", file=sys.stderr)  # noqa: T201
        return 2
    return develop()


if __name__ == "__main__":
    sys.exit(main())
