"""The images of a release: asked of ECR first, else built from the commit, pushed, and known by digest from then on."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from stackhand.aws.waiting import Notify
from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import docker, endpoint
from stackhand.containers.images import build_failed, certificates, steps, stream
from stackhand.infrastructure import signing_key
from stackhand.infrastructure.services import compose
from stackhand.infrastructure.store import Store
from stackhand.project import inherited
from stackhand.project.environments import Environment
from stackhand.project.stack.dockerfile import TARGET
from stackhand.project.stack.model import Service
from stackhand.release.images import checkout, provenance, registry, sbom, signature, source
from stackhand.release.target import Repository
from stackhand.system.roots import PROJECT

SEEN_WITHIN = 20.0
TAIL = 8
THERE = re.compile(r"image tag .+ already exists in the .+ repository and cannot be overwritten", re.IGNORECASE)
"""What ECR says of a tag that does not move; docker's own words of each layer that it need not push are others."""


def ensure(
    environment: Environment,
    built: Mapping[str, Repository],
    commit: str,
    *,
    name: str = "",
    architecture: str,
    notify: Notify,
) -> dict[str, str]:
    """Have the image of each service in ECR, as its tag COMMIT, and return their digests by the services' names.

    The commit is marked when it is not all that was built; `name` is another tag; an architecture is X86_64 or ARM64.

    Raises:
        Failure: an image cannot be built or pushed, is not what was built.
    """
    digests = registry.known(environment, built, commit)
    if name and name != commit:
        registry.require_free(environment, built, name, commit)
    record = provenance.BuildRecord(Store(environment), commit)
    key = signing_key.pinned(environment)
    if missing := {each: repository.url for each, repository in built.items() if each not in digests}:
        docker.reach()
        if key is not None:
            signing_key.require(environment, key)  # before minutes of building
        _build_and_push(environment, record, missing, architecture, notify)
    for each, url in missing.items():
        digests[each] = registry.digest_in(environment, built[each].name, commit, timeout=SEEN_WITHIN)
        if not digests[each]:
            raise Failure(
                f"ECR does not list {url}:{commit} {SEEN_WITHIN:g} s after it was pushed.", next="repeat the command"
            )
    record.require({each: repository.name for each, repository in built.items()}, digests)
    for each, url in missing.items() if key is not None else ():
        signature.sign(environment, signature.SignedImage(each, url, digests[each], commit))
    provenance.write_checksums(
        {built[each].name: digests[each] for each in missing},
        {built[each].name: record.images[each].sbom for each in missing},
    )
    for each, repository in built.items():
        if name and name != commit:
            registry.give_name(environment, repository.name, digests[each], name)
    return digests


def _build_and_push(
    environment: Environment,
    record: provenance.BuildRecord,
    wanted: Mapping[str, str],
    architecture: str,
    notify: Notify,
) -> None:
    """Build images, and push each once it is recorded; the packages of one are listed while the next one is built."""
    pinned = {} if environment.emulated else provenance.pins()  # a rehearsal has the images of this machine
    images = {service: f"{url}:{record.commit}" for service, url in wanted.items()}
    with sbom.Listings() as listings:
        for service in build(wanted, record.commit, architecture, notify, pinned):
            listings.begin(images[service], service, record.commit)
        for service, image in images.items():
            notify(f"listing the packages of {service}")
            record.add(service, image, listings.of(service))
            _push(environment, service, image, notify)


def _push(environment: Environment, name: str, image: str, notify: Notify) -> None:
    notify(f"pushing {name}")
    with _logged_in(environment, image.partition("/")[0]) as folder:
        settings_of_docker = inherited.environment("docker", DOCKER_CONFIG=folder)
        code, lines = stream(["docker", "push", image], settings_of_docker, None, lambda _: None)
    # Somebody may have pushed under this commit meanwhile; ECR's tags do not move, and what it has is compared next.
    if code != 0 and not any(THERE.search(line) for line in lines):
        raise Failure(
            f"{image} could not be pushed.",
            evidence=lines[-TAIL:],
            next="fix that, then deploy again: finished builds stay in the builder's cache",
        )


@contextmanager
def _logged_in(environment: Environment, registry: str) -> Iterator[str]:
    """Give a folder of settings for docker that has the registry's password of an hour, and is gone afterwards.

    The user's own settings stay as they are, and no password stands in a command line.
    """
    given = environment.client("ecr").get_authorization_token().get("authorizationData")
    if not given:
        raise Failure("ECR gave no password for its registry.", next="repeat the command")
    token = given[0]["authorizationToken"]
    context = endpoint.configuration().get("currentContext")
    settings = {"auths": {registry: {"auth": token}}, **({"currentContext": context} if context else {})}
    with tempfile.TemporaryDirectory(prefix="stackhand-") as folder:
        theirs = endpoint.folder()
        for each in ("contexts", "cli-plugins"):
            if theirs and (theirs / each).exists():
                (Path(folder) / each).symlink_to(theirs / each)
        path = Path(folder) / "config.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(settings), encoding="utf-8")
        yield folder


PLATFORMS = {"X86_64": "linux/amd64", "ARM64": "linux/arm64"}
MISSED = re.compile(r'failed to compute cache key: .*"(/[^"]*)": not found')
"""What BuildKit says of a COPY whose source is not in the context."""


def build(
    wanted: Mapping[str, str], commit: str, architecture: str, notify: Notify, pinned: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Build images from the files of a commit, and yield the name of each service whose image is built.

    The addresses of the images are given by the services' names, and the digests of those they are built on.

    Raises:
        Failure: a build fails, or the files are not those that the release was named after.
    """
    stack = compose.stack_of(PROJECT)
    services = [stack.service(name) for name in wanted]
    _require_same(commit)
    dirty = commit != source.clean(commit)
    with checkout.exported(PROJECT, source.clean(commit), source.contexts(services), dirty=dirty) as folder:
        for service in services:
            notify(f"building {service.name}")
            image = f"{wanted[service.name]}:{commit}"
            args = command(service, image, architecture, datetime.now(UTC), folder, pinned=pinned or {})
            code, lines = stream(args, None, folder, steps(f"building {service.name}", notify))
            if code != 0:
                raise _unexported(service, lines, folder) or build_failed(service, lines, then="deploy again")
            yield service.name


def _require_same(commit: str) -> None:
    """Refuse changes that came while the release was under way: its name would tell of others."""
    if commit == source.clean(commit):
        return
    if (built := source.choose(tag="", dirty=True, folders=source.sources()).commit) != commit:
        raise Failure(
            "Files in this checkout changed since the deploy started, so the images would not match their commit.",
            evidence=[f"it started as {commit}", f"and is now {built}"],
            next="repeat the command",
            code=ExitCode.PREFLIGHT,
        )


def _unexported(service: Service, lines: list[str], folder: Path) -> Failure | None:
    """Return the failure of a build that wants a file which is here, and which git does not have.

    What the export has too is kept from the build by .dockerignore, or is of another stage.
    """
    assert service.build is not None  # noqa: S101 - see command
    here, there = PROJECT / source.context(service.build), folder / source.context(service.build)
    wanted = {match[1].strip("/") for line in lines for match in MISSED.finditer(line)}
    missing = {path for path in wanted if (here / path).exists() and not (there / path).exists()}
    if not missing:
        return None
    return Failure(
        f"The image of {service.name} could not be built: it needs a file that git does not have.",
        evidence=[f"{path} is in this checkout, but not in its commit" for path in sorted(missing)],
        next="commit it; or, if it is a build output, build it in a stage of the Dockerfile (docs/operations.md)",
    )


def command(
    service: Service, image: str, architecture: str, now: datetime, folder: Path, *, pinned: Mapping[str, str]
) -> list[str]:
    """Return the command that builds the image a service is released as, in the folder of its files.

    BuildKit takes what a Dockerfile calls by a pinned tag from the place that `--build-context` names for it.
    """
    assert service.build is not None  # noqa: S101 - else Terraform has no repository for it
    created, tag = now.strftime("%Y-%m-%dT%H:%M:%SZ"), image.rpartition(":")[2]
    arguments = {**service.build.args, "REVISION": tag, "CREATED": created}
    labels = {"revision": tag, "created": created, "source": _source()}
    args = ["docker", "build", "--progress", "plain", "--provenance=false", "--platform", PLATFORMS[architecture]]
    args += ["--file", source.dockerfile(service.build), "--tag", image]
    args += [f"--build-context={base}=docker-image://{base}@{digest}" for base, digest in pinned.items()]
    args += [f"--build-arg={key}={value}" for key, value in arguments.items()]
    args += [f"--label=org.opencontainers.image.{key}={value}" for key, value in labels.items() if value]
    args += [f"--secret=id=ca,src={Path(certificates() or os.devnull).absolute()}"]
    if re.search(
        rf"^FROM .* AS {TARGET}$", _text(folder / source.dockerfile(service.build)), re.MULTILINE | re.IGNORECASE
    ):
        args += ["--target", TARGET]
    return [*args, source.context(service.build)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _source() -> str:
    """Return where the sources are, as far as the runner of a workflow says so."""
    server, repository = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    return f"{server}/{repository}" if server and repository else ""
