"""`--file`, `--env-file` and `--profile`, as `docker compose` takes them before its command: they hold for one run.

They become the variables by which Compose is told the same, so that whatever this run starts knows them too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from invoke.exceptions import ParseError
from invoke.parser.argument import Argument

from stackhand.project.compose import composefiles
from stackhand.system.roots import PROJECT

SEPARATORS = (os.pathsep, "|", "\n")
FILE, ENV_FILE, PROFILE = "file", "env-file", "profile"
COMMAND_LINE = {FILE: "-f", ENV_FILE: "--env-file", PROFILE: "--profile"}


def arguments() -> list[Argument]:
    """Return the flags for Invoke's parser."""
    return [
        Argument(
            names=(FILE, "f"), kind=list, help="a Compose file, instead of those that Compose would find; repeatable"
        ),
        Argument(names=(ENV_FILE,), kind=list, help="variables for the Compose files, instead of .env; repeatable"),
        Argument(names=(PROFILE,), kind=list, help="a profile of the Compose files to enable; repeatable"),
    ]


def apply(given: Mapping[str, Sequence[str]]) -> str:
    """Have this run, and all that it starts, use what was given, and return a sentence that says so.

    Args:
        given: the values of each flag; files are relative to the working directory.

    Raises:
        ParseError: one of the files is not there.
    """
    files, env_files = (_paths(given.get(flag, ()), flag) for flag in (FILE, ENV_FILE))
    profiles = list(given.get(PROFILE, ()))
    if files:
        separator = next(each for each in SEPARATORS if not any(each in file for file in files))
        os.environ |= {"COMPOSE_FILE": separator.join(files), "COMPOSE_PATH_SEPARATOR": separator}
    if env_files:
        os.environ["COMPOSE_ENV_FILES"] = ",".join(env_files)
    if profiles:
        os.environ["COMPOSE_PROFILES"] = ",".join(profiles)
    said = [
        f"Compose files: {composefiles.label(PROJECT)}" if files else "",
        f"variables: {', '.join(env_files)}" if env_files else "",
        f"profiles: {', '.join(profiles)}" if profiles else "",
    ]
    return f"for this run: {'; '.join(filter(None, said))}" if any(said) else ""


def misplaced(word: str, verb: str, typed: Sequence[str]) -> str:
    """Return the command that was meant by a Compose file behind a verb's own `-f`; nothing where none was."""
    if not verb or not word.endswith((".yml", ".yaml")) or not Path(word).is_file():
        return ""
    rest = [each for each in typed if each not in {"-f", word}]
    return " ".join(["./inv", "-f", word, *rest])


def _paths(given: Sequence[str], flag: str) -> list[str]:
    """Return files relative to the project, where Compose runs, if they are in it."""
    paths = [Path.cwd() / each for each in given]
    for each, path in zip(given, paths, strict=True):
        if each == "-":
            raise ParseError(f"{COMMAND_LINE[flag]} - is not possible: later verbs could not read it again")
        if not path.is_file():
            where = "is not a file" if path.exists() else "does not exist"
            raise ParseError(f"{each} of {COMMAND_LINE[flag]} {where}, seen from {Path.cwd()}")
    inside = [path.resolve() if path.resolve().is_relative_to(PROJECT) else path for path in paths]
    return [os.path.relpath(each, PROJECT) if each.is_relative_to(PROJECT) else str(each) for each in inside]
