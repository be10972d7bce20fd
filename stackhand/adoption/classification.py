"""What each service of a project is, read from its Compose files and Dockerfiles, and what could not be told."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from stackhand.local.engines.embedded import known
from stackhand.project.stack import dockerfile, xfields
from stackhand.project.stack.dockerfile import Image
from stackhand.project.stack.kinds import IMAGES, STANDS_IN, Kind
from stackhand.project.stack.model import Build, Service, Stack

LOCAL = r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\]|\$\{?HOSTNAME\}?)"
ASKED = re.compile(rf"\bhttps?://{LOCAL}(?::(?P<port>\d+|\$\{{?\w+\}}?))?(?P<path>/[^\s\"'|;&)\\,\]]*)?")
PYTHON = frozenset(
    {"python", "python3", "gunicorn", "uvicorn", "hypercorn", "daphne", "celery", "flask", "django-admin", "uwsgi"}
)
"""Programs that want the packages of a project beside them."""
FRAMEWORKS = {
    "manage.py": "python manage.py migrate",
    "alembic.ini": "alembic upgrade head",
    "bin/rails": "bin/rails db:migrate",
    "artisan": "php artisan migrate --force",
}
"""What applies pending migrations, by the file that tells the framework."""
MIGRATING = ("migrate", "db:migrate", "migrate:deploy", "migrations:run")
"""Names of scripts in a package.json that migrate a database, the likeliest first."""


class Classified(msgspec.Struct, frozen=True):
    """What one service is.

    Args:
        name: the service.
        kind: web, worker, job or managed.
        port: in its container, at which a web server is asked; of `ports`, `expose` or EXPOSE.
        published: whether this machine reaches it.
        health: the path that its health check asks for; empty where it asks for none by HTTP.
        checked: whether it has a health check of any kind.
        server: postgres, redis, mysql or mongodb.
        managed: rds or elasticache, for a server that AWS runs.
        built: whether its image is built from this repository, and can be released.
        command: what runs it without a container engine; empty where nothing has to be said, or nothing is known.
        working_dir: where that runs, relative to the project.
        missing: what that command lacks on this machine; empty where it can run.
        known: whether the embedded engine runs its image as it is.
        public: whether the load balancer sends it the public's requests.
        written: the `x-` fields that its own Compose files have.
        migrate: the command by which its framework migrates the database; empty where a job does, or none is known.
        notes: what was not understood, one sentence each.
    """

    name: str
    kind: Kind
    port: int | None = None
    published: bool = False
    health: str = ""
    checked: bool = False
    server: str = ""
    managed: str = ""
    built: bool = False
    command: tuple[str, ...] = ()
    working_dir: str = ""
    missing: str = ""
    known: bool = False
    public: bool = False
    written: tuple[str, ...] = ()
    migrate: str = ""
    notes: tuple[str, ...] = ()


def classify(stack: Stack, entries: Mapping[str, Mapping[str, Any]]) -> list[Classified]:
    """Return what the services are, in the order of their start; `entries` are the same as Compose resolved them."""
    images = {name: _image(service, entries[name], stack.root) for name, service in stack.services.items()}
    databases = [each for each in stack.services.values() if each.server == "postgres"]
    services = stack.services.values()
    every = [_one(service, entries[service.name], images[service.name], stack, databases) for service in services]
    public = choose_public(every, stack)
    return [structs.replace(each, public=each.name == public) for each in every]


def candidates(every: Sequence[Classified], stack: Stack) -> list[str]:
    """Return the services that may be the public's: built here, published, and used by no other web server."""
    webs = [each.name for each in every if each.kind == "web" and each.built and each.published]
    used = {other for name in webs for other in stack.services[name].depends_on}
    return [name for name in webs if name not in used] or webs


def choose_public(every: Sequence[Classified], stack: Stack) -> str:
    """Return the first service that may be the public's; nothing where there is none."""
    return next(iter(candidates(every, stack)), "")


def _one(
    service: Service, entry: Mapping[str, Any], image: Image, stack: Stack, databases: Sequence[Service]
) -> Classified:
    server = service.server if service.server in IMAGES else ""
    port = _port(service, entry, image)
    kind: Kind = "web" if service.kind == "worker" and port else service.kind
    health, checked, notes = _health(service, entry, image, port)
    if kind not in {"web", "worker"}:
        health, notes = "", []
    built = service.build is not None and not server
    command, folder, missing = _command(service, entry, image, stack.root) if built else ((), "", "")
    if service.embedded:
        command, missing = tuple(_list(service.embedded.command)), ""
    return Classified(
        name=service.name,
        kind=kind,
        port=port,
        published=service.main_port is not None,
        health=health,
        checked=checked,
        server=server,
        managed=STANDS_IN.get(server, ""),
        built=built,
        command=command,
        working_dir=folder,
        missing=missing,
        known=known.is_known(service),
        written=tuple(key for key in xfields.KNOWN if entry.get(key) is not None),
        migrate=_migrate(service, stack, databases) if built and kind == "web" else "",
        notes=(*notes, *_notes(service, server, kind, built=built)),
    )


def _migrate(service: Service, stack: Stack, databases: Sequence[Service]) -> str:
    """Return the command that migrates the database of a service, unless a job of the same image does."""
    jobs = [stack.services[name] for name in service.jobs]
    if service.build is None or any(each.build == service.build for each in jobs):
        return ""
    uses_one = any(_uses(service, each) for each in databases)
    return migration(stack.root / service.build.context) if uses_one else ""


def _notes(service: Service, server: str, kind: Kind, *, built: bool) -> Iterator[str]:
    if kind == "job" and built and not service.command:
        yield f"{service.name}: a job without a command in the Compose file, so a release cannot run it"
    if server and server not in STANDS_IN:
        yield f"{service.name}: AWS runs no {server} for you here; services there need one of your own"
    if not server and not built:
        yield f"{service.name}: the image {service.image} is not built here, so there is no x-aws"


def _image(service: Service, entry: Mapping[str, Any], root: Path) -> Image:
    build = entry.get("build") or {}
    if service.build is None or "://" in service.build.context or build.get("dockerfile_inline"):
        return Image()
    return dockerfile.read(root / service.build.context / service.build.dockerfile, str(build.get("target") or ""))


def _port(service: Service, entry: Mapping[str, Any], image: Image) -> int | None:
    """Return the port of a web server: the first that is published, that the Compose file exposes, or the image."""
    if service.main_port:
        return service.main_port.target
    exposed = [str(each).removesuffix("/tcp") for each in entry.get("expose") or []]
    named = [int(each) for each in exposed if each.isdigit()]
    if named:
        return named[0]
    # An image that several services share exposes the port of the one that listens.
    runs = bool(service.command or entry.get("entrypoint"))
    return image.ports[0] if image.ports and not runs and not service.job else None


def _health(service: Service, entry: Mapping[str, Any], image: Image, port: int | None) -> tuple[str, bool, list[str]]:
    """Return the path that a health check asks for, whether there is a check at all, and what was not understood."""
    if service.health:
        return service.health, True, []
    check = entry.get("healthcheck") or {}
    if check.get("disable") or check.get("test") == ["NONE"]:
        return "", False, []
    test = check.get("test")
    words = " ".join(map(str, test)) if isinstance(test, list) else str(test or "")
    text = words or image.healthcheck
    match = ASKED.search(text)
    name = service.name
    if port is None and match and not words:
        note = f"{name} has no port, and the HEALTHCHECK of its image asks for one: healthcheck: {{disable: true}}"
        return "", True, [note]
    if match is None or port is None:
        note = f"{name}: no health check asks by HTTP; add x-health, which the load balancer checks"
        return "", bool(text), [note] if port and service.build and not service.server else []
    asked = match["port"] or "80"
    if asked.isdigit() and int(asked) != port:
        return "", True, [f"{name}: its health check asks port {asked}, and it listens at {port}"]
    return (match["path"] or "/").rstrip("'\"") if service.main_port else "", True, []


def _command(service: Service, entry: Mapping[str, Any], image: Image, root: Path) -> tuple[tuple[str, ...], str, str]:
    """Return the command that runs a service without containers, where it runs, and what it lacks here."""
    assert service.build is not None  # noqa: S101 - asked for those that are built
    entrypoint = entry.get("entrypoint")
    words = [*_list(entrypoint), *service.command] if entrypoint else service.command or list(image.command)
    folder = _folder(service.build, words, root)
    if not words:
        return (), folder, "a command: neither the Compose file nor the Dockerfile has one"
    port = service.main_port
    command = tuple(re.sub(rf"\b{port.target}\b", "$$PORT", word) if port else word for word in words)
    place = root / folder
    program = _program(command)
    for local in (f".venv/bin/{program}", f"node_modules/.bin/{program}"):
        if "/" not in program and (place / local).is_file():
            return tuple(local if word == program else word for word in command), folder, ""
    if program in PYTHON:
        return command, folder, f"a Python environment with its packages: {folder or '.'}/.venv"
    if shutil.which(program) is None and not (place / program).is_file():
        return command, folder, f"the program {program}"
    if _package(place).get("dependencies") and not (place / "node_modules").is_dir():
        return command, folder, "its packages: npm install"
    return command, folder, ""


def _folder(build: Build, words: Sequence[str], root: Path) -> str:
    """Return the folder that has the files a command names: the context, or that of the Dockerfile."""
    folders = (build.context, build.sources)
    found = next((each for each in folders if any((root / each / word).is_file() for word in words)), build.context)
    return "" if found in {".", ""} else found


def _package(folder: Path) -> dict[str, Any]:
    """Return the package.json of a folder; nothing where there is none that could be read."""
    try:
        found = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _program(command: Sequence[str]) -> str:
    """Return the program that a command runs; of `sh -c`, the first one that the shell runs."""
    if len(command) > 2 and command[0].rpartition("/")[2] in {"sh", "bash"} and command[1] == "-c":  # noqa: PLR2004 - sh -c TEXT
        inner = [word for word in _list(command[2]) if word != "exec" and not re.match(r"^\w+=", word)]
        return inner[0] if inner else command[0]
    return command[0]


def _list(entry: str | Sequence[Any] | None) -> list[str]:
    if isinstance(entry, str):
        try:
            return shlex.split(entry)
        except ValueError:
            return entry.split()
    return [str(word) for word in entry or []]


def _uses(service: Service, other: Service) -> bool:
    """Whether a service depends on another one, or has its name as a host in its environment."""
    host = re.compile(rf"(?:^|[@/,=:]){re.escape(other.name)}(?:$|[:/,?])")
    return other.name in service.depends_on or any(host.search(value) for value in service.environment.values())


def migration(folder: Path) -> str:
    """Return the command that applies the pending migrations of the code in a folder; nothing where none is known."""
    for file, command in FRAMEWORKS.items():
        if (folder / file).is_file():
            return command
    scripts = _package(folder).get("scripts") or {}
    return next((f"npm run {name}" for name in MIGRATING if name in scripts), "")
