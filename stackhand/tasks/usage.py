"""Wrong usage of `./inv`, as a sentence with the command that was probably meant."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from invoke.exceptions import ParseError

from stackhand.system.roots import NAME
from stackhand.tasks import composeoptions

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


def explain(error: ParseError, typed: Sequence[str], verbs: Mapping[str, Collection[str]]) -> str:
    """Return what is wrong with a command line, and what to type instead.

    Args:
        error: what the parser said.
        typed: the words behind `./inv`.
        verbs: the flags of every verb.
    """
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
    if meant := composeoptions.misplaced(word, verb, typed):
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
