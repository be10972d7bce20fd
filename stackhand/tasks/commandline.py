"""The command line around the verbs: the options before them, and wrong usage as a sentence with what was meant.

`--file`, `--env-file` and `--profile` are as `docker compose` takes them before its command, and hold for one run. They
become the variables by which Compose is told the same, so that whatever this run starts knows them too.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from invoke.exceptions import ParseError
from invoke.parser.argument import Argument

from stackhand.project.compose import composefiles
from stackhand.system.roots import NAME, PROJECT

SEPARATORS = (os.pathsep, "|", "\n")
FILE, ENV_FILE, PROFILE = "file", "env-file", "profile"
OPTIONS = {FILE: "-f", ENV_FILE: "--env-file", PROFILE: "--profile"}
SIMILAR = 0.7
"""Below that, two names have letters in common and nothing else, as `help` and `shell` have."""
ELSEWHERE = {
    "start": "up",
    "stop": "down",
    "ps": "status",
    "list": "--list",
    "ls": "--list",
    "psql": "db.shell",
    "env": "shell",
    "log": "logs",
}
"""What other tools call our verbs."""
ENVIRONMENT = "environment"
FOR_THE_CLOUD = frozenset({"-e", f"--{ENVIRONMENT}"})
MISSING = re.compile(r"'(?P<verb>[^']+)' did not receive required positional arguments: (?P<missing>.+)")
UNKNOWN = re.compile(r"No idea what '(?P<word>.*)' is!", re.DOTALL)
NO_VALUE = re.compile(r"Flag <Argument: (?P<name>\S+).*> needed value and was not given one!")


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
    """Have this run, and all that it starts, use the values of each flag, and return a sentence that says so.

    Files are relative to the working directory.

    Raises:
        ParseError: one of the files is not there.
    """
    files, env_files = (_paths(given.get(flag, ()), flag) for flag in (FILE, ENV_FILE))
    profiles = list(given.get(PROFILE, ()))
    said = []
    if files:
        separator = next(each for each in SEPARATORS if not any(each in file for file in files))
        os.environ |= {"COMPOSE_FILE": separator.join(files), "COMPOSE_PATH_SEPARATOR": separator}
        said.append(f"Compose files: {composefiles.label(PROJECT)}")
    if env_files:
        os.environ["COMPOSE_ENV_FILES"] = ",".join(env_files)
        said.append(f"variables: {', '.join(env_files)}")
    if profiles:
        os.environ["COMPOSE_PROFILES"] = ",".join(profiles)
        said.append(f"profiles: {', '.join(profiles)}")
    return f"for this run: {'; '.join(said)}" if said else ""


def _paths(given: Sequence[str], flag: str) -> list[str]:
    """Return files relative to the project, where Compose runs, if they are in it."""
    paths = [Path.cwd() / each for each in given]
    for each, path in zip(given, paths, strict=True):
        if each == "-":
            raise ParseError(f"{OPTIONS[flag]} - is not possible: later verbs could not read it again")
        if not path.is_file():
            where = "is not a file" if path.exists() else "does not exist"
            raise ParseError(f"{each} of {OPTIONS[flag]} {where}, seen from {Path.cwd()}")
    inside = [path.resolve() if path.resolve().is_relative_to(PROJECT) else path for path in paths]
    return [os.path.relpath(each, PROJECT) if each.is_relative_to(PROJECT) else str(each) for each in inside]


def explain(error: ParseError, typed: Sequence[str], verbs: Mapping[str, Collection[str]]) -> str:
    """Return what is wrong with a command line, and what to type instead, by the flags of every verb."""
    message = str(error)
    verb = getattr(error.context, "name", None) or next((word for word in typed if word in verbs), "")
    if match := MISSING.fullmatch(message):
        return "\n".join(_missing(match["verb"], re.findall(r"'([^']+)'", match["missing"]), typed))
    if match := NO_VALUE.fullmatch(message):
        return f"{NAME}: --{match['name']} needs a value.\nnext: ./inv --help {verb}".rstrip()
    if match := UNKNOWN.fullmatch(message):
        return _unknown(match["word"], verb, verbs, typed)
    return f"{NAME}: {message}\nnext: ./inv --help {verb}" if verb else f"{NAME}: {message}\nnext: ./inv --list"


def _missing(verb: str, names: Sequence[str], typed: Sequence[str]) -> Iterator[str]:
    """Yield what a verb was not told, and the whole command with it."""
    article = "an" if names[0][0] in "aeiou" else "a"
    yield f"{NAME}: {verb} needs {article} {' and a '.join(names)}."
    command = ["./inv", *typed]
    if ENVIRONMENT in names:
        from stackhand.project import environments

        known = environments.known()
        yield f"  known: {', '.join(known) or 'none; an environment is a file environments/NAME.tfvars'}"
        command += ["-e", "staging" if "staging" in known or not known else known[0]]
    command += [f"--{name} {name.upper()}" for name in names if name != ENVIRONMENT]
    yield f"next: {' '.join(command)}"


def _unknown(word: str, verb: str, verbs: Mapping[str, Collection[str]], typed: Sequence[str]) -> str:
    if meant := _misplaced(word, verb, typed):
        return f"{NAME}: A Compose file is named before the verb.\nnext: {meant}"
    if word in verbs.get(verb, ()) and (too_early := _before(word, verb, typed)):
        files = typed[: typed.index(too_early[0])]
        command = " ".join(["./inv", *files, *typed[typed.index(verb) :], *too_early])
        return f"{NAME}: {word} is a flag of {verb}, and stands behind it.\nnext: {command}"
    if verb and word in FOR_THE_CLOUD:
        return (
            f"{NAME}: {verb} works on this machine and takes no environment; -e is for cloud verbs.\n"
            f"next: ./inv --help {verb}, or for the cloud: ./inv plan -e staging"
        )
    if word.startswith("-"):
        return f"{NAME}: No idea what {word!r} is!\nnext: ./inv --help {verb}".rstrip()
    near = difflib.get_close_matches(word, verbs, n=1, cutoff=SIMILAR)
    meant = ELSEWHERE.get(word) or (near[0] if near else "--list")
    return f"{NAME}: No idea what {word!r} is!\nnext: ./inv {meant}"


def _before(flag: str, verb: str, typed: Sequence[str]) -> list[str]:
    """Return what was typed from a flag to the verb; nothing where the flag stands behind it."""
    before = typed[: typed.index(verb)]
    return list(itertools.dropwhile(lambda word: word.partition("=")[0] != flag, before))


def _misplaced(word: str, verb: str, typed: Sequence[str]) -> str:
    """Return the command that was meant by a Compose file behind a verb's own `-f`; nothing where none was."""
    if not verb or not word.endswith((".yml", ".yaml")) or not Path(word).is_file():
        return ""
    rest = [each for each in typed if each not in {"-f", word}]
    return " ".join(["./inv", "-f", word, *rest])
