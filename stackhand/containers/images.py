"""The images of a stack: pulled when they are missing, built when what they are made of changed.

And what that needs of this machine: disk, certificates, a proxy that builds know.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import docker, endpoint
from stackhand.project import inherited
from stackhand.project.stack.model import Service, Stack
from stackhand.system import program

TAIL = 20
STEP = re.compile(r"^#\d+ (\[[^\]]+\] .*)$")
PARTS = re.compile(r"^-{6}\n(.*?)^-{6}$", re.MULTILINE | re.DOTALL)
CERTIFICATES = ("CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
NEEDED_MB = 1500
"""What the four images of the stack take, their build and a new volume."""
NOT_PULLABLE = re.compile(r"(?:failed to resolve source metadata for|pull access denied for|manifest for) (\S+?)[:,]? ")

WAYS_OUT = (
    (r"x509|certificate", "give the container engine your network's certificate (/etc/docker/certs.d/REGISTRY/ca.crt)"),
    (r"no space left on device", "free space for images: docker system prune"),
    (
        r"toomanyrequests|rate limit",
        "docker login: the registry currently requires an account from this address",
    ),
)
"""What is to be done about a refused pull whose cause is known; the most particular first."""

UNREACHABLE = re.compile(
    r"no such host|could not resolve|temporary failure in name resolution|name or service not known|EAI_AGAIN|"
    r"network is unreachable|connection (refused|timed out)",
    re.IGNORECASE,
)
"""What the programs that fetch packages say of a network that they do not reach."""

Progress = Callable[[str], None]


def certificates() -> str:
    """Return this machine's bundle of certificates, for builds behind a proxy that re-signs TLS; or nothing."""
    paths = (os.environ.get(name, "") for name in CERTIFICATES)
    return next((path for path in paths if path and Path(path).is_file()), "")


def image_of(service: Service, stack: Stack) -> str:
    """Return the name of a service's image, as Compose names it."""
    return service.image or f"{stack.name}-{service.name}"


def present(names: Iterable[str]) -> dict[str, str]:
    """Return the ids of the images that this machine has, by name."""
    wanted = sorted(set(names))
    numbers = {}
    if not wanted:
        return {}
    form = "{{.Id}} {{json .RepoTags}}"
    listed = docker.run("image", "inspect", "--format", form, *wanted, accept=docker.NOT_THERE).stdout
    for line in filter(None, listed.splitlines()):
        number, _, tags = line.partition(" ")
        for tag in json.loads(tags) or []:
            numbers[tag.removesuffix(":latest")] = number
    return {name: numbers[name.removesuffix(":latest")] for name in wanted if name.removesuffix(":latest") in numbers}


def fingerprint(service: Service, stack: Stack) -> str:
    """Return a digest of what a service's image is built from; empty when that cannot be told from its files.

    The folder of the Dockerfile, or the context when the Dockerfile has no folder of its own; a whole checkout
    has too many files that are no part of it.
    """
    if service.build is None or Path(service.build.sources) == Path():
        return ""
    folder = stack.root / service.build.sources
    lines = [service.build.context, service.build.dockerfile]
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            status = path.stat()
            lines.append(f"{path.relative_to(folder)}:{status.st_size}:{status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def fingerprints(stack: Stack) -> dict[str, str]:
    """Return the fingerprints of the images that are built, by service."""
    return {each.name: fingerprint(each, stack) for each in stack.services.values() if each.build}


def wanting(stack: Stack, built: Mapping[str, str]) -> tuple[list[str], list[Service]]:
    """Return the images that have to be pulled, and a service for each that differs from what was built last.

    A job may have the image of the service it runs before.
    """
    services, current = stack.services.values(), fingerprints(stack)
    known = present(image_of(each, stack) for each in services)
    here = {image_of(each, stack) for each in services if each.build}  # in no registry
    pulled = {str(each.image) for each in services if each.build is None}
    stale = {
        image_of(each, stack): each
        for each in reversed(services)
        if each.build
        and (image_of(each, stack) not in known or current[each.name] != built.get(each.name) or not current[each.name])
    }
    return sorted(pulled - {*known, *here}), [*stale.values()][::-1]


def pull(image: str, users: str, progress: Progress) -> None:
    """Pull an image that some services use.

    Raises:
        Failure: it cannot be had; the ways out are named.
    """
    progress(f"pulling {image}")
    code, lines = stream(["docker", "pull", image], None, None, lambda line: progress(f"{image}: {line[:80]}"))
    if code != 0:
        raise not_pullable(image, [f"used by {users}", *lines[-3:]])


def build(service: Service, stack: Stack, environment: Mapping[str, str], progress: Progress) -> None:
    """Build the image of a service with BuildKit, as docker-compose.yml says.

    Raises:
        Failure: the build fails; the output of the step that failed is the evidence.
    """
    progress(f"building {service.name}")
    args = ["docker", "compose", "--progress", "plain", "build", service.name]
    code, lines = stream(args, environment, stack.root, steps(f"building {service.name}", progress))
    if code != 0:
        raise build_failed(service, lines)


def steps(what: str, progress: Progress) -> Progress:
    """Return what tells of BuildKit's steps, given its lines."""

    def step(line: str) -> None:
        match = STEP.match(line)
        if match and "internal]" not in match[1]:
            progress(f"{what}: {match[1][:90]}")

    return step


def not_pullable(image: str, evidence: list[str]) -> Failure:
    """Return the failure of an image that is neither here nor anywhere we may get it."""
    return Failure(
        f"The image {image} is not on this machine and cannot be pulled.",
        evidence=evidence,
        next=f"{_way_out(evidence)}; or without containers: ./inv up --engine embedded",
        code=ExitCode.PREFLIGHT,
    )


def _way_out(evidence: list[str]) -> str:
    """Return what to do about a refused pull, by the most particular cause that its last lines name."""
    for pattern, remedy in WAYS_OUT:
        if any(re.search(pattern, line, re.IGNORECASE) for line in evidence):
            return remedy
    return (
        "docker login, if it is private; a registry mirror (registry-mirrors in the engine's daemon.json), if its "
        "registry cannot be reached"
    )


def build_failed(service: Service, lines: list[str], then: str = "./inv up") -> Failure:
    """Return the failure of a build, from what BuildKit said: the step that failed, or the image that is missing."""
    text = "\n".join(lines)
    missing = NOT_PULLABLE.search(text)
    if missing:
        return not_pullable(missing[1], [line for line in lines if "failed to" in line][-1:])
    parts = PARTS.findall(text)
    evidence = parts[0].rstrip().splitlines() if parts else lines
    evidence = [re.sub(r"^\d+\.\d+ ", "", line) for line in evidence[-TAIL:]]
    build = service.build
    file = Path(build.context) / build.dockerfile if build and "://" not in build.context else "its Dockerfile"
    remedy = f"fix {file}"
    if any(map(UNREACHABLE.search, evidence)):
        remedy = f"check the network, with a proxy for builds in ~/.docker/config.json where there is one, or {remedy}"
    return Failure(
        f"The image of {service.name} could not be built.",
        evidence=evidence,
        next=f"{remedy}, then {then}",
        code=ExitCode.FAILED,
    )


def stream(
    args: list[str], environment: Mapping[str, str] | None, folder: Path | None, notify: Progress
) -> tuple[int, list[str]]:
    """Run a command, tell each of its lines as it comes, and return its exit code and all of them.

    Whatever interrupts us ends the command.
    """
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line.rstrip())
        notify(lines[-1])

    code = program.follow(args, tell, environment=environment or inherited.environment("docker"), folder=folder)
    return code, lines


def require_disk() -> None:
    """Refuse to pull or build where there is no room for it.

    Raises:
        Failure: the disk of the container engine is too full.
    """
    free = _disk()
    if free and free[1] < NEEDED_MB:
        raise Failure(
            f"The disk of the container engine ({free[0]}) has {free[1]} MB free, and images need {NEEDED_MB} MB.",
            next="docker system prune removes unused data; ./inv up --engine embedded needs less",
            code=ExitCode.PREFLIGHT,
        )


def findings() -> Iterator[tuple[str, str, str, str]]:
    """Yield name, status, words and remedy of each thing that was looked at."""
    if free := _disk():
        status = "pass" if free[1] >= NEEDED_MB else "fail"
        remedy = "" if status == "pass" else "docker system prune removes unused data"
        yield "images' disk", status, f"{free[1] / 1000:.1f} GB free for {free[0]}", remedy
    yield from _trusted()
    proxies = {name for name in PROXIES if os.environ.get(name)}
    if proxies and not endpoint.configuration().get("proxies"):
        message = f"{', '.join(sorted(proxies))} is set here, but not for builds"
        yield "proxy", "warn", message, "add it under proxies in ~/.docker/config.json"


def _trusted() -> Iterator[tuple[str, str, str, str]]:
    named = {name: os.environ[name] for name in CERTIFICATES if os.environ.get(name)}
    for name, path in named.items():
        if not Path(path).is_file():
            message = f"{name} names {path}, which is not a file"
            yield "certificates", "warn", message, f"unset {name}, or create the file"
    if used := certificates():
        yield "certificates", "pass", f"builds trust {used}", ""


def _disk() -> tuple[Path, int] | None:
    """Return the folder of the engine's images and the MB free there; None where that cannot be told."""
    if endpoint.is_remote(endpoint.address()):  # a folder of another machine
        return None
    try:
        output = docker.run("info", "--format", "{{.DockerRootDir}}", timeout=docker.ANSWER_WITHIN).stdout.strip()
        place = Path(output)
        return (place, shutil.disk_usage(place).free // 1_000_000) if output else None
    except (Failure, OSError):  # slow today; or in the virtual machine of Docker Desktop
        return None
