"""`stackhand init`: adopt Stackhand in a repository that has a Compose file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from stackhand.adoption import classification, generated, overlay, pin, repository
from stackhand.adoption.classification import Classified
from stackhand.adoption.generated import File
from stackhand.adoption.repository import Repository
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import model, resolution, settings
from stackhand.project.model import Stack
from stackhand.system.roots import CONTENT, IS_CHECKOUT, LOCK, PROJECT

TEMPLATES = Path(__file__).parent / "templates"
WORKFLOW = ".github/workflows/stackhand.yml"
ENVIRONMENT = "staging"
REGION, ACCOUNT = "eu-west-1", "123456789012"
"""Without an answer; the account is AWS's own example, which nobody has."""
RESERVED = re.compile(r"^(aws|ssm|(internal|sg|amzn|sthree)(-|$))")
LONGEST_NAME = 12
"""Of `stack` in Terraform's variables."""
ON_AWS = {"rds": "RDS for PostgreSQL", "elasticache": "ElastiCache"}


class Answers(msgspec.Struct):
    """What only a person knows.

    Args:
        public: the service that the load balancer sends the public's requests to; empty for none.
        health: a path by service, for those whose health check says none.
        region: of AWS.
        account: twelve digits.
    """

    public: str
    health: dict[str, str]
    region: str
    account: str


def init(*, yes: bool, json: bool) -> None:
    """Look at the services of this project, and write the files that Stackhand needs.

    Args:
        yes: ask nothing.
        json: one document on stdout instead of a table; asks nothing.

    Raises:
        Failure: there is no Compose file, or Compose rejects it; or a file cannot be written.
    """
    _require_project()
    stack, services = _services()
    if not json:
        _show(stack, services)
    answers = Answers(classification.choose_public(services, stack), {}, _region(), ACCOUNT)
    if not yes and not json and sys.stdin.isatty() and not (PROJECT / LOCK).exists():
        answers = _ask(services, stack, answers)
    services = [_answered(each, answers) for each in services]
    git = repository.of(PROJECT)
    done = _write(stack, services, answers, git)
    notes = [note for each in services for note in each.notes if each.name not in answers.health]
    notes += _notes(services, git)
    if json:
        console.document(
            {"stack": stack.name, "services": [_row_of(each) for each in services], **done, "notes": notes}
        )
    else:
        _tell(done, notes)


def _require_project() -> None:
    if IS_CHECKOUT and PROJECT == CONTENT:
        raise Failure(
            "This is a checkout of Stackhand, which needs no stackhand init.",
            next="run it in your own repository: cd REPOSITORY, then stackhand init",
            code=ExitCode.USAGE,
        )
    if resolution.own_files(PROJECT):
        return
    found = [name for name in repository.compose_files(PROJECT) if "/" in name]
    elsewhere = [f"git knows {', '.join(found[:5])}"] if found else []
    raise Failure(
        "There is no Compose file here.",
        evidence=[f"Compose looks for {', '.join(resolution.NAMES)} in {PROJECT}", *elsewhere],
        next=f"cd {Path(found[0]).parent}, then stackhand init" if found else "write one, or: stackhand init --example",
        code=ExitCode.PREFLIGHT,
    )


def _services() -> tuple[Stack, list[Classified]]:
    """Return the services as the project's own Compose files have them: what we wrote must not confirm itself."""
    values = settings.ensure(PROJECT, check=True, given=False).values
    resolved = resolution.without_overlay(PROJECT, values)
    stack = model.of(PROJECT, resolved, ", ".join(resolution.own_files(PROJECT)))
    return stack, classification.classify(stack, resolved.get("services") or {})


def _show(stack: Stack, services: Sequence[Classified]) -> None:
    console.write(f"{stack.name}: {_number(len(services), 'service')} in {stack.file}\n")
    rows = [list(_row_of(each).values()) for each in services]
    console.table(rows, ["service", "kind", "health", "without containers", "on AWS"], {}, indent=2)
    console.write("")


def _row_of(service: Classified) -> dict[str, str]:
    if service.health:
        health = f"GET {service.health}"
    elif service.kind == "job":
        health = "exit code 0"
    else:
        health = "its health check" if service.checked else "stays up"
    if service.known:
        without = {"postgres": "PostgreSQL", "redis": "Valkey"}.get(service.server, "nginx")
    else:
        without = "no" if service.missing or not service.built else " ".join(service.command)
    aws = "no"
    if service.managed:
        aws = ON_AWS[service.managed]
    elif service.built:
        aws = {"job": "task before a rollout", "worker": "Fargate"}.get(service.kind, "Fargate, internal")
        aws = "Fargate, public" if service.public else aws
    return {"name": service.name, "kind": service.kind, "health": health, "without_containers": without, "aws": aws}


def _ask(services: Sequence[Classified], stack: Stack, answers: Answers) -> Answers:
    """Return the answers of a person; an empty line takes the default."""
    candidates = classification.candidates(services, stack)
    if len(candidates) > 1:
        answers.public = _choice(
            f"Which service answers the public ({', '.join(candidates)})?", answers.public, candidates
        )
    for each in services:
        if each.name == answers.public and not each.health:
            answers.health[each.name] = _line(
                f"A path of {each.name} that answers 200 while it lives (empty: none)", ""
            )
    answers.region = _line("AWS region", answers.region)
    answers.account = _line("AWS account, twelve digits", answers.account)
    return answers


def _choice(question: str, default: str, known: Sequence[str]) -> str:
    while (answer := _line(question, default)) not in known:
        console.notify(f"not one of them: {answer}")
    return answer


def _line(question: str, default: str) -> str:
    console.notify(f"{question}{f' [{default}]' if default else ''}:")
    try:
        return input().strip() or default
    except EOFError:
        return default


def _answered(service: Classified, answers: Answers) -> Classified:
    health = answers.health.get(service.name) or service.health
    return structs.replace(service, health=health, public=service.name == answers.public)


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION


def _write(stack: Stack, services: Sequence[Classified], answers: Answers, git: Repository) -> dict[str, Any]:
    """Write what is not there yet, the lock last, and return what was made and what stays."""
    files = [*_files(stack, services, answers, git)]
    lock = PROJECT / LOCK
    before = lock.read_text(encoding="utf-8") if lock.exists() else ""
    records = generated.recorded(before)
    done = generated.write(PROJECT, files)
    texts = {each.path: each.text for each in files}
    records |= {path: generated.digest(texts[path]) for path in done.made}
    added, made = _extend(services, records), list(done.made)
    text = pin.renewed(before, records) if before else pin.text(pin.requirement(), pin.packages(), records)
    if text != before:
        generated.replace(PROJECT, File(LOCK, text))
        made += [] if before else [LOCK]
    if ignored := repository.ignore(PROJECT):
        made.append(f".gitignore ({ignored})")
    return {"made": made, "kept": done.kept, **added}


def _files(stack: Stack, services: Sequence[Classified], answers: Answers, git: Repository) -> list[File]:
    values = {
        "STACK": _stack_name(stack.name),
        "ENVIRONMENT": ENVIRONMENT,
        "REGION": answers.region,
        "ACCOUNT": answers.account,
        "BRANCH": git.branch,
        "FOLDER": git.folder,
    }
    workflow = os.path.relpath(git.top / WORKFLOW, PROJECT)
    return [
        File("inv", (CONTENT / "inv").read_text(encoding="utf-8"), executable=True),
        File(overlay.PATH, overlay.text(services, resolution.own_files(PROJECT))),
        File(f"environments/{ENVIRONMENT}.tfvars", _template("environment.tfvars", values)),
        File(workflow, _template("workflow.yml", values)),
    ]


def _extend(services: Sequence[Classified], records: dict[str, str]) -> dict[str, list[str]]:
    """Give the overlay the services that came since; where somebody has edited it, say what to add."""
    lacking = overlay.lacking(PROJECT / overlay.PATH, services)
    if not lacking:
        return {}
    if generated.state(PROJECT, overlay.PATH, records) == "unedited":
        text = overlay.text(services, resolution.own_files(PROJECT))
        generated.replace(PROJECT, File(overlay.PATH, text))
        records[overlay.PATH] = generated.digest(text)
        return {"added": [each.name for each in lacking]}
    return {"to_add": [line for each in lacking for line in overlay.block(each)]}


def _template(name: str, values: dict[str, str]) -> str:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


def _stack_name(name: str) -> str:
    """Return a name for AWS: short, of letters, digits and hyphens, and none that AWS reserves."""
    plain = re.sub(r"-+", "-", re.sub(r"[^a-z0-9]+", "-", name.lower())).strip("-")
    plain = re.sub(r"^[^a-z]+", "", plain)[:LONGEST_NAME].strip("-")
    return plain if len(plain) > 1 and not RESERVED.search(plain) else f"app-{plain}"[:LONGEST_NAME].strip("-")


def _notes(services: Sequence[Classified], git: Repository) -> list[str]:
    notes = [
        f"{each.name} cannot run without containers here: it lacks {each.missing}"
        for each in services
        if each.built and each.missing
    ]
    if not any(each.public for each in services):
        notes.append("no service is public: none that is built here has a port")
    if (PROJECT / "tasks.py").exists():
        notes.append(
            "tasks.py is yours and stays. To have the verbs in it: pip install stackhand, then in tasks.py: "
            'import stackhand.tasks; ns.add_collection(stackhand.tasks, "stack")'
        )
    if not (git.top / ".git").exists():
        notes.append("this is no git repository, and a release is a commit: git init, before ./inv deploy")
    return notes


def _tell(done: dict[str, Any], notes: Sequence[str]) -> None:
    made = [*done["made"], *(f"{overlay.PATH} ({name} added)" for name in done.get("added", []))]
    if made:
        console.write(f"  {console.glyph('done')} made: {', '.join(made)}")
    elif not done.get("to_add"):
        console.write(f"  {console.glyph('same')} nothing to do: all files are there")
    if done.get("to_add"):
        console.write(f"  {console.glyph('note')} {overlay.PATH} was edited, and lacks services; add below `services:`")
        console.write("\n".join(done["to_add"]))
    for note in notes:
        console.write(f"  {console.glyph('note')} {note}")
    console.write("\nnext: ./inv up")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
