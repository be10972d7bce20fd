"""The services as Terraform gets them: resolved for an environment, with references in place of secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import schema
from stackhand.project.compose import composefiles, envfile, resolution
from stackhand.project.compose.resolution import Entry, Resolved
from stackhand.project.environments import Environment
from stackhand.project.schema import is_generated, is_secret
from stackhand.project.stack import loading
from stackhand.project.stack.kinds import PORTS, STANDS_IN, server_of
from stackhand.project.stack.model import Stack
from stackhand.project.stack.xaws import Fargate, Managed

REQUIRED = re.compile(r"\$\{(\w+):?\?")
"""A variable that Compose insists on."""
WHOLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::?[-?].*)?\}")
"""A value that is one variable, with whatever default."""
IN_URL = re.compile(r"://[^/@\s]*:\$\{?(\w+)[^@\s]*@([\w-]+)")
"""A variable in the place of a URL's password, and the URL's host."""
WITHOUT_DEFAULT = re.compile(r"(?<!\$)(?:\$\$)*\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
"""A variable that is empty where nobody sets it."""
NO_NUMBER = re.compile(r"interpolating services\.([\w-]+)\.([\w-]+)\S*: failed to cast")
"""What Compose says of a key that must be a number or true or false, and is not."""
MARKER = re.compile(r"stackhandsecret(\d+)end")
KNOWN_THERE = "known in the cloud"


@dataclass(frozen=True)
class CloudServices:
    """The services of the cloud.

    Args:
        resolved: as Compose resolves them, with a marker in place of each secret.
        written: as they are written, with extensions, includes and overrides in place.
        secrets: the names of the secret variables, by marker.
        kinds: generated, given or required, by the name of a secret variable.
        here: by service, the variables that its `env_file` has from `.env` of this machine, and nothing declares.
    """

    resolved: dict[str, Entry]
    written: dict[str, Entry]
    secrets: dict[str, str]
    kinds: dict[str, str]
    here: dict[str, list[str]]

    def whole(self, value: Any) -> str:
        """Return the secret variable that a value is; nothing, when it is none."""
        return self.secrets.get(str(value), "")

    def own_secret(self, name: str) -> str:
        """Return the secret variable of a managed service's environment that is its password; empty without one."""
        values = [value for _, value in sorted(self.resolved[name]["environment"].items())]
        return next((each for each in map(self.whole, values) if each and self.kinds[each] != "given"), "")

    def password_of(self, name: str) -> str:
        """Return the variable of a managed service's password, as terraform/secrets.tf chooses it."""
        return self.own_secret(name) or f"{name.upper()}_PASSWORD"

    def within(self, value: Any) -> list[str]:
        """Return the secret variables that a value, or anything in it, contains."""
        return sorted(
            {self.secrets[matches[0]] for matches in MARKER.finditer(str(value)) if matches[0] in self.secrets}
        )

    def composition(self, value: str) -> dict[str, Any]:
        """Return a value with {NAME} in place of each secret variable in it, and the names."""
        text = MARKER.sub(lambda match: "{" + self.secrets.get(match[0], match[0]) + "}", value)
        return {"text": text, "secrets": self.within(value)}


def resolve(root: Path, settings: Mapping[str, str] | None = None) -> CloudServices:
    """Resolve the services for the cloud, where neither `.env` nor the shell of this machine counts.

    Args:
        root: the checkout.
        settings: the variables of an environment; a required one that lacks (see `secrets.check`) is made up.

    Raises:
        Failure: Compose rejects the files.
    """
    written = written_services(root)
    entries = schema.read(root / ".env.example")
    wanted = set(REQUIRED.findall(str(written)))
    kinds = {
        key: "generated" if entry.generated else "given" for key, entry in entries.items() if entry.kind == "secret"
    }
    kinds |= untyped(root, entries)
    kinds |= dict.fromkeys((wanted - kinds.keys() - entries.keys()) | (passwords(written) - kinds.keys()), "required")
    markers = {name: f"stackhandsecret{number}end" for number, name in enumerate(sorted(kinds))}
    try:
        given = {**dict.fromkeys(wanted, KNOWN_THERE), **(settings or {}), **markers}
        resolved: Resolved = resolution.apart(root, given)
    except Failure as failure:
        raise _empty(root, failure, written, given) from failure
    share_builds(resolved)
    services: dict[str, Entry] = resolved.get("services") or {}
    made = (root / ".env").exists()
    here = _settings_of(root)
    undeclared: dict[str, list[str]] = {}
    for name, entry in services.items():
        variables = {
            key: "" if value is None else str(value) for key, value in (entry.get("environment") or {}).items()
        }
        own = {key for key in here if key in variables or not made} if _reads_dotenv(written[name]) else set()
        own -= set(written[name].get("environment") or {})
        undeclared[name] = sorted(own - entries.keys() - kinds.keys() - (settings or {}).keys())
        there = {key: entry.default for key, entry in entries.items()} | dict(settings or {}) | markers
        entry["environment"] = variables | {key: there.get(key, "") for key in own}
    _give_passwords(services, markers)
    return CloudServices(services, written, {marker: name for name, marker in markers.items()}, kinds, undeclared)


def _empty(root: Path, failure: Failure, written: Mapping[str, Entry], given: Mapping[str, str]) -> Failure:
    """Return the failure of numbers that only `.env` or the shell of this machine gives; else the same one.

    Args:
        root: the checkout.
        failure: why Compose rejects the files.
        written: the services as they are written.
        given: the variables that an environment has.
    """
    places: dict[str, list[str]] = {}
    for match in filter(None, map(NO_NUMBER.search, failure.evidence)):
        text = str(written.get(match[1], {}).get(match[2]))
        lacking = {plain or braced for plain, braced in WITHOUT_DEFAULT.findall(text)} - given.keys()
        places.setdefault(", ".join(sorted(lacking)), []).append(f"services.{match[1]}.{match[2]}")
    names = ", ".join(filter(None, places)).split(", ")
    if not places or not all(places):
        return failure
    return Failure(
        f"{composefiles.label(root)} has keys without a value on AWS.",
        evidence=[
            f"{', '.join(found[:3])}{f' and {len(found) - 3} more' if len(found) > 3 else ''}: "  # noqa: PLR2004 - enough
            f"{lacking} from .env of this machine, which does not count on AWS"
            for lacking, found in places.items()
        ],
        next=f"put settings = {{ {', '.join(f'{name} = …' for name in names)} }} into the environment's .tfvars",
        code=ExitCode.PREFLIGHT,
    )


def untyped(root: Path, entries: Mapping[str, Any]) -> dict[str, str]:
    """Return generated or given for each secret that an example without types names, by its name."""
    names = [] if entries else schema.names(root / ".env.example")
    return {name: "generated" if is_generated(name) else "given" for name in names if is_secret(name)}


def share_builds(resolved: Resolved) -> None:
    """Give a service the build of the one whose image it runs: Compose has built that here, and no registry has it.

    Args:
        resolved: the answer of Compose, which is changed.
    """
    services: dict[str, Entry] = resolved.get("services") or {}
    built = {
        str(entry.get("image") or f"{resolved.get('name')}-{name}").removesuffix(":latest"): entry["build"]
        for name, entry in services.items()
        if entry.get("build")
    }
    for entry in services.values():
        image = str(entry.get("image") or "").removesuffix(":latest")
        if not entry.get("build") and image in built:
            entry["build"] = built[image]


def stack_of(root: Path, cloud: CloudServices) -> Stack:
    """Return the services of the cloud as a stack, with what `x-aws` does not say filled in."""
    return loading.of(root, {"services": cloud.resolved}, composefiles.label(root))


def managed_ports(stack: Stack) -> dict[str, int]:
    """Return where the services listen that AWS runs in place of a container, by name."""
    return {name: PORTS[each.aws.managed] for name, each in stack.services.items() if isinstance(each.aws, Managed)}


def written_services(root: Path) -> dict[str, Entry]:
    """Return the services with their variables as they are written."""
    return resolution.written(root).get("services") or {}


def passwords(written: Mapping[str, Entry]) -> set[str]:
    """Return the variables that databases and caches on AWS take their passwords from, whatever their defaults.

    Args:
        written: the services as they are written.
    """
    managed = [name for name, entry in written.items() if _is_managed(entry)]
    own = {
        name
        for each in managed
        for key, value in _pairs(written[each].get("environment") or {})
        if key.endswith("PASSWORD") and (match := WHOLE.fullmatch(value))
        for name in match.groups()
        if name
    }
    values = [value for entry in written.values() for _, value in _pairs(entry.get("environment") or {})]
    return own | {match[1] for value in values for match in IN_URL.finditer(value) if match[2] in managed}


def _is_managed(entry: Entry) -> bool:
    return entry.get("x-aws") is not None and server_of(entry.get("image")) in STANDS_IN


def _give_passwords(services: Mapping[str, Entry], markers: Mapping[str, str]) -> None:
    """Give a cache the password that the URLs to it have, where only its command has it: a command tells nobody."""
    values = [value for entry in services.values() for value in entry["environment"].values()]
    for name, entry in services.items():
        if _is_managed(entry) and not set(entry["environment"].values()) & set(markers.values()):
            login = re.compile(rf"://[^/@\s]*:({MARKER.pattern})@{re.escape(name)}(?![\w.-])")
            if match := next(filter(None, map(login.search, values)), None):
                entry["environment"]["PASSWORD"] = match[1]


def _pairs(environment: Mapping[str, Any] | list[str]) -> Iterator[tuple[str, str]]:
    """Yield the variables of a service as they are written, which is in either of Compose's forms."""
    lines = environment.items() if isinstance(environment, Mapping) else (each.split("=", 1) for each in environment)
    yield from ((str(key), str(value[0])) for key, *value in lines if value)


def required(root: Path, *, on_aws: bool = False) -> set[str]:
    """Return the variables that Compose insists on, of all services or of those on AWS."""
    entries = [entry for entry in written_services(root).values() if not on_aws or entry.get("x-aws") is not None]
    return set(REQUIRED.findall(str(entries)))


def _reads_dotenv(written: Entry) -> bool:
    """Whether a service has `.env` itself as an `env_file`: on AWS, its settings are those of the environment."""
    return ".env" in {os.path.normpath(path) for path in env_files(written)}


def env_files(written: Entry) -> list[str]:
    """Return the paths of a service's `env_file`, in any of its forms."""
    given = written.get("env_file") or []
    return [
        str(each["path"] if isinstance(each, dict) else each) for each in ([given] if isinstance(given, str) else given)
    ]


def _settings_of(root: Path) -> Collection[str]:
    """Return the names in `.env`, or of those that it would be made with."""
    try:
        return envfile.read((root / ".env").read_text(encoding="utf-8"), root)[0].keys()
    except OSError:
        return schema.names(root / ".env.example")


def variables_of(environment: Environment) -> dict[str, str]:
    """Return the variables that an environment gives the Compose files: its `settings`, and what is known of it."""
    domain = environment.variables.get("domain")
    name = f"{environment.stack}-{environment.name}"
    given = environment.variables.get("settings") or {}
    return {
        "COMPOSE_PROJECT_NAME": name,
        "ENVIRONMENT": environment.name,
        "METRICS_EMF": "1",
        # Without a certificate, any name may point at the load balancer. (Health checks use an address.)
        "ALLOWED_HOSTS": str(domain) if domain else "*",
        **{str(key): str(value).lower() if isinstance(value, bool) else str(value) for key, value in given.items()},
    }


def image_of(stack: Stack, job: str) -> str:
    """Return the service whose image a job runs: one that it shares its build with; empty for an image by its name."""
    build = stack.services[job].build
    servers = [each for each in stack.services.values() if isinstance(each.aws, Fargate) and each.build]
    servers.sort(key=lambda each: job not in each.jobs)  # those that wait for it come first
    return next((each.name for each in servers if each.build == build), "")
