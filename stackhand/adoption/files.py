"""The files that a project gets, from what its services are and what somebody answered.

Among them is the overlay, `compose.stackhand.yaml`: the `x-` fields of the services, laid over their own Compose files.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from stackhand.adoption import statusservice
from stackhand.adoption.answers import Answers, answered
from stackhand.adoption.classification import Classified
from stackhand.adoption.repository import GitRepository
from stackhand.adoption.statusservice import Overlay
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import passthrough
from stackhand.project.compose import composefiles
from stackhand.project.stack.model import Stack
from stackhand.system.roots import CONTENT, PROJECT

TEMPLATES = Path(__file__).parent / "templates"
WORKFLOW = ".github/workflows/stackhand.yml"
ENVIRONMENT = "staging"
HEAD = """\
# What Stackhand knows of the services beyond {files}. Compose's own keys belong there; here are the x- fields only.
# `./inv up` lays this file over the others; plain `docker compose up` does not read it. It is yours to edit.
#
#   x-health     a path that answers 200 while the service lives
#   x-embedded   how the service runs without a container engine: ./inv up --engine embedded
#   x-aws        how it runs on AWS: ./inv plan -e staging
#
# x-stackhand: {{test: "npm test"}}   # what ./inv test runs, against the running stack
services:
"""
RDS = "x-aws: {managed: rds, class: db.t4g.micro, storage: 20} # RDS for PostgreSQL; storage in GiB"
ELASTICACHE = "x-aws: {managed: elasticache, class: cache.t4g.micro}"
NO_TEXT = re.compile(r"[\d._]+|true|false|null|yes|no|on|off|y|n|~", re.IGNORECASE)
QUOTED = re.compile(r"[\[\]{},]|: | #|^[!&*%@`\"'>|-]|^$")


class File(msgspec.Struct, frozen=True):
    """One file to be generated: its path relative to the project, which may lead out of it, and its content."""

    path: str
    text: str
    executable: bool = False


class Written(msgspec.Struct, frozen=True):
    """What was done with the files: those that were created, and those that were there and stay as they are."""

    created: list[str]
    unchanged: list[str]


def files(stack: Stack, services: Sequence[Classified], answers: Answers, git: GitRepository) -> list[File]:
    """Return the files, all but the lock, for a stack as the project's own Compose files have it.

    Raises:
        Failure: the stack lacks what the status service needs.
    """
    added = statusservice.overlay(stack) if answers.status else None
    described = [answered(each, answers) for each in services]
    values = {
        "STACK": answers.stack,
        "ENVIRONMENT": ENVIRONMENT,
        "REGION": answers.region,
        "ACCOUNT": answers.account,
        "BRANCH": answers.branch,
        "FOLDER": answers.folder,
    }
    return [
        File("inv", (CONTENT / "inv").read_text(encoding="utf-8"), executable=True),
        File(composefiles.OVERLAY, overlay(described, composefiles.own_files(PROJECT), added)),
        File(f"environments/{ENVIRONMENT}.tfvars", _template("environment.tfvars", values)),
        File(os.path.relpath(git.top / WORKFLOW, PROJECT), _template("workflow.yml", values)),
    ]


def _template(name: str, values: Mapping[str, str]) -> str:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


def write(root: Path, files: Sequence[File]) -> Written:
    """Write the files that are not there; what is there stays as it is, whoever wrote it.

    Raises:
        Failure: a file cannot be written.
    """
    created, unchanged = [], []
    for each in files:
        path = root / each.path
        if path.exists() or path.is_symlink():
            unchanged.append(each.path)
            continue
        replace(root, each)
        created.append(each.path)
    return Written(created, unchanged)


def replace(root: Path, file: File) -> None:
    """Write a file at once, or not at all.

    Raises:
        Failure: it cannot be written.
    """
    path = root / file.path
    draft = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(file.text, encoding="utf-8")
        draft.chmod(0o755 if file.executable else 0o644)
        draft.replace(path)
    except OSError as error:
        raise Failure(
            f"{file.path} cannot be written: {error.strerror}.",
            evidence=[str(path)],
            next="make the folder writable, then repeat the command",
            code=ExitCode.PREFLIGHT,
        ) from error


def overlay(services: Sequence[Classified], files: Sequence[str], added: Overlay | None = None) -> str:
    """Return the overlay of all services over some Compose files, with services of ours added."""
    blocks = ["\n".join(block(each)) for each in services]
    blocks += [added.services.strip("\n"), added.secrets.strip("\n")] if added else []
    empty = all(line.startswith("  #") for block in blocks for line in block.splitlines())
    head = HEAD.replace("services:\n", "services: {{}}\n") if empty else HEAD
    return head.format(files=", ".join(files)) + "\n\n".join(blocks) + "\n"


def lacking(path: Path, services: Sequence[Classified]) -> list[Classified]:
    """Return the services that an overlay does not mention, not even in a comment."""
    written = passthrough.content(path)
    return [
        each
        for each in services
        if not re.search(rf"^\s*(?:# )?{re.escape(_scalar(each.name))}:", written, re.MULTILINE)
    ]


def block(service: Classified) -> Iterator[str]:
    """Yield the lines for one service."""
    parts = {"x-health": _health, "x-embedded": _embedded, "x-aws": _aws}
    lines = [line for key, part in parts.items() if key not in service.written for line in part(service)]
    lines += [f"# {', '.join(service.written)}: in its own file"] if service.written else []
    fields = [line for line in lines if not line.startswith("#")]
    if fields:
        yield f"  {_scalar(service.name)}: # {_described(service)}"
        yield from (f"    {line}" for line in lines)
    else:  # Compose refuses a service of an overlay that is null
        yield f"  # {_scalar(service.name)}: # {_described(service)}"
        yield from (f"  #   {line.removeprefix('# ')}" for line in lines)


def _described(service: Classified) -> str:
    words = {
        "web": f"a web server at port {service.port}" if service.port else "a web server",
        "worker": "a worker: it has no port",
        "job": "a job: other services wait until it has run to its end",
        "managed": f"a server: {service.server}",
    }
    return words[service.kind]


def _health(service: Classified) -> Iterator[str]:
    if service.health:
        yield f"x-health: {_scalar(service.health)}"
    elif service.kind == "web" and service.built and service.published:
        yield "# x-health: /health # a path that answers 200; the load balancer of AWS needs one"


def _embedded(service: Classified) -> Iterator[str]:
    if service.known or not service.built:
        return
    where = f", working_dir: {_scalar(service.working_dir)}" if service.working_dir else ""
    line = f"x-embedded: {{command: {_command(service.command)}{where}}}"
    yield f"# {line} # it lacks {service.missing}" if service.missing else line


def _aws(service: Classified) -> Iterator[str]:
    if service.managed:
        yield {"rds": RDS, "elasticache": ELASTICACHE}[service.managed]
    elif not service.built:
        yield "# x-aws: its image is not built in this repository; so far AWS gets those that are"
    elif service.kind == "job":
        yield "x-aws: {} # a task that runs once before each rollout of the services that wait for it"
    elif service.kind == "worker":
        yield "x-aws: {kind: worker, cpu: 256, memory: 512} # 1024 is one CPU; MiB"
    else:
        yield "x-aws:"
        yield f"  port: {service.port}"
        if service.public:
            yield '  paths: ["/*"] # what the load balancer sends here; without it, other services alone reach it'
        if service.migrate:
            yield f"  release: {_scalar(service.migrate)} # runs once before each rollout"
        yield "  cpu: 256 # 1024 is one CPU"
        yield "  memory: 512 # MiB"
        yield "  scale: {min: 1, max: 3, cpu: 60, memory: 70} # tasks; another one from so many percent on"


def _command(words: Sequence[str]) -> str:
    line = shlex.join(words).replace("'$$PORT'", "$$PORT")
    simple = all(re.fullmatch(r"[\w./:=@%+,-]*(?:\$\$PORT)?[\w./:=@%+,-]*", word) for word in words)
    if not simple:
        return json.dumps(list(words), ensure_ascii=False)
    line = " ".join(words)
    return _scalar(line) if line else '"..."'


def _scalar(value: str) -> str:
    """Return a text as YAML has it within braces, and as a key."""
    return json.dumps(value, ensure_ascii=False) if QUOTED.search(value) or NO_TEXT.fullmatch(value) else value
