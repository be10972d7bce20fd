"""Ask Compose itself what the project's Compose files say (docs/decisions/059-compose-resolves.md).

`docker compose config` finds the files, merges and interpolates them, and prints the result. Whatever runs the
stack gets the variables of `environment`, and so reads the same files with the same values.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited, passthrough
from stackhand.project.compose import composefiles, envfile, resolver
from stackhand.project.compose.composefiles import NAMES
from stackhand.project.compose.resolver import Resolver
from stackhand.system import program
from stackhand.system.roots import LOCK

ANSWER_WITHIN = 60.0
"""Seconds for an answer: an `include` may be a repository somewhere else."""
AS_WRITTEN = ("--no-interpolate", "--no-normalize", "--no-path-resolution")
WITHOUT_ENV_FILES = "--no-env-resolution"
"""A flag of newer versions than the oldest that will do: env_file is kept, and not read."""
MARKERS = range(40001, 60000)
NAMED = re.compile(r"\$\{?([A-Za-z_]\w*)")
REQUIRED = re.compile(r"required variable (\w+) is missing a value(?:: (.*))?")
UNKNOWN = re.compile(
    r"(?:(\S+) false schema|(\S+) Additional property (\S+) is not allowed|"
    r" additional properties '([^']+)' not allowed)$"
)
"""A key that Compose does not know, as its newer and its older versions call it."""
FILE = re.compile(r"(?:^|\s)([\w./-]*\.(?:ya?ml|env))(?=[:\s]|$)")
"""A file that a message of Compose names."""
UNREADABLE = re.compile(r"in variable name|unterminated quoted value|key cannot contain a space")
Resolved = dict[str, Any]
Entry = dict[str, Any]  # a service of it, with the keys of Compose's own reference, and ours (xfields.py)


def environment(root: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that Compose runs with: the shell's, which win, and settings that `.env` is yet to get.

    Compose reads `.env` itself. COMPOSE_FILE, COMPOSE_PROFILES and COMPOSE_ENV_FILES of the shell are among them.
    """
    shell = inherited.environment("compose", root)
    present = composefiles.settings(root)
    yet = {key: value for key, value in values.items() if present.get(key) != value}
    return yet | composefiles.env_files(root) | shell | composefiles.overlay_variables(root)


def resolve(root: Path, values: Mapping[str, str]) -> Resolved:
    """Return what Compose makes of the project's files.

    Raises:
        Failure: Compose rejects them, or there is no Compose; its own sentence is the evidence.
    """
    return _ask(root, environment(root, values), "resolved")


def without_overlay(root: Path, values: Mapping[str, str]) -> Resolved:
    """Return what Compose makes of the project's own files, as if our overlay were not there; with all profiles.

    Raises:
        Failure: Compose rejects them, or there is no Compose.
    """
    variables = environment(root, values) | {"COMPOSE_PROFILES": "*"}
    if composefiles.overlay_variables(root):
        variables |= composefiles.named(root, composefiles.own_files(root))
    return _ask(root, variables, "own")


def written(root: Path) -> Resolved:
    """Return the same with all variables as they are written, those of every profile included."""
    return _ask(root, environment(root, {}) | {"COMPOSE_PROFILES": "*"}, "written", *AS_WRITTEN)


def apart(root: Path, variables: Mapping[str, str]) -> Resolved:
    """Return what Compose makes of the files with these variables alone: nothing of `.env` and of the shell counts."""
    fixed = {"COMPOSE_DISABLE_ENV_FILE": "1", "COMPOSE_PROFILES": "*", **composefiles.chosen(root)}
    fixed |= composefiles.overlay_variables(root)
    return _ask(root, {**inherited.environment("docker"), **variables, **fixed}, "cloud")


def ports_by_variable(root: Path, values: Mapping[str, str]) -> dict[int, str]:
    """Return the variables that published ports come from, by the port.

    Each variable that a port mentions is given another number, and Compose is asked which ports follow.
    """
    variables = environment(root, values)
    written = _ask(root, variables, "ports", "--no-interpolate")
    named = sorted(set(NAMED.findall(str([each.get("ports") for each in _services(written)]))))
    markers = {name: str(marker) for name, marker in zip(named, MARKERS, strict=False)}
    try:
        moved = list(_published(_ask(root, variables | markers, "moved")))
    except Failure:  # a variable of a port is no number, such as an address
        return {}
    now = list(_published(_ask(root, variables, "resolved")))
    names = {marker: name for name, marker in markers.items()}
    return {
        int(port): names[marker] for port, marker in zip(now, moved, strict=False) if marker in names and port.isdigit()
    }


def _ask(root: Path, variables: Mapping[str, str], question: str, *flags: str) -> Resolved:
    """Return an answer of `config`, kept under the question's name."""
    chosen = resolver.choose(root)
    # without a file here, Compose looks in the folders above
    digest = resolver.digest(root, question, chosen.identity, variables) if composefiles.files(root) else ""
    answer: Resolved = resolver.answer(root, question, digest, lambda: _answer(root, chosen, variables, *flags))
    return answer


def _answer(root: Path, chosen: Resolver, variables: Mapping[str, str], *flags: str) -> Resolved:
    """Ask for an answer in YAML: as JSON, Compose leaves out the `x-` keys of services."""
    done = _config(root, chosen.command, variables, *flags)
    if done.returncode != 0 and _is_to_be_made(root, done.stderr):
        done = _config(root, (str(resolver.PACKAGED),), variables, WITHOUT_ENV_FILES, *flags)
    if done.returncode != 0:
        raise rejected(root, done.stderr)
    # Compose doubles each $, so that what it prints could be its input.
    return _load(done.stdout if "--no-interpolate" in flags else done.stdout.replace("$$", "$"))


def _config(
    root: Path, command: Iterable[str], variables: Mapping[str, str], *flags: str
) -> subprocess.CompletedProcess[str]:
    try:
        return program.run([*command, "config", *flags], environment=variables, folder=root, timeout=ANSWER_WITHIN)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure("Compose did not answer.", evidence=[str(error)], code=ExitCode.PREFLIGHT) from error


def _is_to_be_made(root: Path, message: str) -> bool:
    """Whether Compose rejects the files only because a service reads `.env`, which `up` is yet to make."""
    missing = f"env file {root / '.env'} not found" in message
    return missing and (root / ".env.example").is_file() and resolver.PACKAGED.is_file()


def rejected(root: Path, message: str) -> Failure:
    """Return the failure of files that Compose does not accept, from what it printed on stderr."""
    lines = [line for line in message.strip().splitlines() if not line.startswith("time=")]
    lines = [_named(line.replace(f"{root}/", "")) for line in lines] or ["no output"]
    name = composefiles.label(root)
    if not composefiles.files(root):
        below = sorted(
            str(each.parent.relative_to(root)) for depth in ("*/", "*/*/") for each in root.glob(depth + LOCK)
        )
        elsewhere = f"the same with {below[0]}/inv, whose folder has {LOCK}" if below else ""
        return Failure(
            "There is no Compose file here.",
            evidence=[f"Compose looks for {', '.join(NAMES)} in {root}", *lines],
            next=elsewhere or "write one, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    if UNREADABLE.search(message) and (found := _unreadable(root)):
        return found
    if match := REQUIRED.search(message):
        return Failure(
            f"{name} requires the variable {match[1]}, which nothing sets.",
            evidence=lines,
            next=f"set {match[1]} in .env, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    where = next((match[1] for line in lines if (match := FILE.search(line))), "")
    return _rejection(where or name, lines if where else [f"{name}: {lines[0]}", *lines[1:]])


def _rejection(name: str, evidence: list[str]) -> Failure:
    remedy = f"fix {name}, then repeat the command"
    return Failure(f"Compose rejects {name}.", evidence=evidence, next=remedy, code=ExitCode.PREFLIGHT)


def _named(line: str) -> str:
    """Return a line in which an unknown key is called one, whichever version of Compose says so."""
    match = UNKNOWN.search(line)
    if match is None:
        return line
    key = ".".join(each for each in match.groups() if each and each != "(root)")
    return f"{line[: match.start()]}{key}: Compose has no such key"


def _unreadable(root: Path) -> Failure | None:
    """Return the failure of a file of variables that Compose cannot read.

    The oldest version does not name the file, and all of them quote the line, in which there may be a secret.
    """
    paths = sorted(each for each in passthrough.search(root).files if each.suffix not in {".yml", ".yaml"})
    for path in paths:
        problems = [each for each in envfile.read(passthrough.content(path), root)[1] if not each.is_expansion]
        if problems:
            name = str(path.relative_to(root) if path.is_relative_to(root) else path)
            return _rejection(name, [f"line {each.line}: {each.key} {each.message}" for each in problems])
    return None


def _services(resolved: Resolved) -> Collection[Entry]:
    return (resolved.get("services") or {}).values()


def _published(resolved: Resolved) -> Iterator[str]:
    for service in _services(resolved):
        for port in service.get("ports") or []:
            yield str(port.get("published", ""))


def _load(text: str) -> Resolved:
    import yaml  # 18 ms, for the verbs that need it

    class Loader(yaml.CSafeLoader):
        """YAML 1.2, which Compose writes: `2026-01-01` is a text."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }
    document = yaml.load(text, Loader=Loader)  # noqa: S506 - a SafeLoader with fewer types
    return document if isinstance(document, dict) else {}
