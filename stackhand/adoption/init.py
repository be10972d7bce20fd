"""`stackhand init`: adopt Stackhand in a repository that has a Compose file."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stackhand.adoption import classification, files, pin, repository, statusservice
from stackhand.adoption.answers import Answers, answered, ask, defaults
from stackhand.adoption.classification import Classified
from stackhand.adoption.files import File
from stackhand.adoption.repository import GitRepository
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.services import services
from stackhand.project import passthrough, settings
from stackhand.project.compose import composefiles, resolution
from stackhand.project.compose.composefiles import OVERLAY
from stackhand.project.stack import loading
from stackhand.project.stack.model import Stack
from stackhand.system.roots import CONTENT, IS_CHECKOUT, LOCK, PROJECT

EXAMPLE = ("docker-compose.yml", ".env.example", ".dockerignore", "images.lock", "service", "web", "seeds")
"""What the example consists of."""
ON_AWS = {"rds": "RDS for PostgreSQL", "elasticache": "ElastiCache"}


class ServiceRow(msgspec.Struct, frozen=True):
    """What is found out of a service, in words; `no` where it does not run there."""

    name: str
    kind: str
    health: str
    without_containers: str
    aws: str


class InitReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """The document of `init --json` (docs/output.md).

    Args:
        created: the files that were written.
        unchanged: those that were there.
        foreign: those of them that are not Stackhand's.
        notes: what was not understood, and what deserves to be known.
        added: the services that the overlay got.
        to_add: the lines to add to it by hand, where somebody has edited it.
        made: the former name of `created`, for one release.
        kept: the former name of `unchanged`, for one release.
    """

    stack: str
    services: list[ServiceRow]
    created: list[str]
    unchanged: list[str]
    foreign: list[str]
    notes: list[str]
    made: list[str]
    kept: list[str]
    added: list[str] = []
    to_add: list[str] = []


def init(*, yes: bool, json: bool, status: bool, example: bool) -> None:
    """Look at the services of this project, and write the files that Stackhand needs; with JSON, nothing is asked.

    Raises:
        Failure: there is no Compose file, or Compose rejects it; or a file cannot be written.
    """
    if example:
        _copy_example()
    _require_project()
    stack, services = classified()
    git = repository.of(PROJECT)
    if not json:
        _show(stack, services)
    before = pin.read()
    answers = (before and pin.answers(before)) or defaults(stack, services, git)
    if not (yes or json or before) and sys.stdin.isatty():
        ask(services, stack, answers)
    answers.status = answers.status or status
    services = [answered(each, answers) for each in services]
    notes = [note for each in services for note in each.notes if each.name not in answers.health]
    notes += _notes(services, git) + ([statusservice.LOCAL] if answers.status else [])
    report = _write(stack, services, answers, git, before, notes=notes)
    if json:
        console.document(report)
    else:
        _show_report(report)


def _copy_example() -> None:
    there = [each.name for each in PROJECT.iterdir() if each.name not in {".git", ".stackhand"}]
    if there:
        raise Failure(
            f"The example is for an empty folder, and {PROJECT} has {', '.join(sorted(there)[:5])}.",
            next="mkdir example && cd example, then stackhand init --example",
            code=ExitCode.USAGE,
        )
    for name in EXAMPLE:
        if (CONTENT / name).is_dir():
            shutil.copytree(CONTENT / name, PROJECT / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(CONTENT / name, PROJECT / name)


def classified() -> tuple[Stack, list[Classified]]:
    """Return the services as the project's own Compose files have them: what we wrote must not confirm itself."""
    values = settings.ensure(PROJECT, check=True, given=False).values
    resolved = resolution.without_overlay(PROJECT, values)
    services.share_builds(resolved)
    stack = loading.of(PROJECT, resolved, ", ".join(composefiles.own_files(PROJECT)))
    return stack, classification.classify(stack, resolved.get("services") or {})


def _require_project() -> None:
    if IS_CHECKOUT and PROJECT == CONTENT:
        raise Failure(
            "This is a checkout of Stackhand, which needs no stackhand init.",
            next="run it in your own repository: cd REPOSITORY, then stackhand init",
            code=ExitCode.USAGE,
        )
    if composefiles.own_files(PROJECT):
        return
    elsewhere = repository.compose_files(PROJECT)
    folders = sorted({shlex.quote(str(Path(each).parent)) for each in elsewhere})
    remedy = f"cd {folders[0]} && stackhand init" if folders else "write one, or: stackhand init --example"
    if len(folders) > 1:
        remedy = f"the same in the folder of the stack that you mean, such as: {remedy}"
    raise Failure(
        f"There is no Compose file in this folder; there is {' and '.join(elsewhere[:5])}."
        if elsewhere
        else "There is no Compose file here.",
        evidence=[f"Compose looks for {', '.join(composefiles.NAMES)} in {PROJECT}"],
        next=remedy,
        code=ExitCode.PREFLIGHT,
    )


def _show(stack: Stack, services: Sequence[Classified]) -> None:
    count = console.counted(len(services), "service")
    console.write(f"{stack.name}: {count} in {stack.file}\n")
    rows = [msgspec.structs.astuple(_row_of(each)) for each in services]
    console.table(rows, ["service", "kind", "health", "without containers", "on AWS"], {}, indent=2)
    console.write("")


def _row_of(service: Classified) -> ServiceRow:
    if service.health:
        health = f"GET {service.health}"
    elif service.kind == "job":
        health = "exit code 0"
    else:
        health = "its health check" if service.checked else "stays up"
    if service.known and not service.command:
        without = {"postgres": "PostgreSQL", "redis": "Valkey"}.get(service.server, "nginx")
    else:
        without = "no" if service.missing or not service.built else " ".join(service.command)
    aws = "no"
    if service.managed:
        aws = ON_AWS[service.managed]
    elif service.built:
        aws = {"job": "task before a rollout", "worker": "Fargate"}.get(service.kind, "Fargate, internal")
        aws = "Fargate, public" if service.public else aws
    return ServiceRow(service.name, service.kind, health, without, aws)


def _write(
    stack: Stack, services: Sequence[Classified], answers: Answers, git: GitRepository, before: str, *, notes: list[str]
) -> InitReport:
    """Write what is not there yet, the lock last, and return what was created and what stays."""
    wanted = files.files(stack, services, answers, git)
    records = pin.recorded(before)
    foreign = [each.path for each in wanted if pin.state(PROJECT, each.path, records) == "foreign"]
    done = files.write(PROJECT, wanted)
    texts = {each.path: each.text for each in wanted}
    records |= {path: pin.digest(texts[path]) for path in done.created}
    added, to_add = _extend(services, answers, texts[OVERLAY], records)
    created = list(done.created)
    own, packages = (before, "") if before else (pin.hashed(pin.requirement()), pin.packages())
    text = pin.text(own, packages, answers, records)
    if text != before:
        files.replace(PROJECT, File(LOCK, text))
        created += [] if before else [LOCK]
    if ignored := repository.ignore(PROJECT):
        created.append(f".gitignore ({ignored})")
    return InitReport(
        stack.name,
        [_row_of(each) for each in services],
        created,
        done.unchanged,
        foreign,
        notes,
        made=created,
        kept=done.unchanged,
        added=added,
        to_add=to_add,
    )


def _extend(
    services: Sequence[Classified], answers: Answers, text: str, records: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Give the overlay the services that came since, and return them; or the lines to add, where somebody edited it."""
    blocks = {each.name: list(files.block(each)) for each in files.lacking(PROJECT / OVERLAY, services)}
    written = passthrough.content(PROJECT / OVERLAY)
    if answers.status and statusservice.MARK not in written:
        blocks["the status service"] = text[text.index(statusservice.MARK) :].splitlines()
    if not blocks:
        return [], []
    if pin.state(PROJECT, OVERLAY, records) == "unedited":
        files.replace(PROJECT, File(OVERLAY, text))
        records[OVERLAY] = pin.digest(text)
        return list(blocks), []
    return [], [line for lines in blocks.values() for line in lines]


def _notes(services: Sequence[Classified], git: GitRepository) -> list[str]:
    notes = [
        f"{each.name}: cannot run without containers here, for lack of {each.missing}"
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


def _show_report(report: InitReport) -> None:
    created = [*report.created, *(f"{OVERLAY} ({name} added)" for name in report.added)]
    if created:
        console.write(f"  {console.glyph('done')} created: {', '.join(created)}")
    elif not report.to_add:
        console.write(f"  {console.glyph('same')} nothing to do: all files are there")
    if report.to_add:
        console.write(f"  {console.glyph('note')} {OVERLAY} was edited, and lacks services; add below `services:`")
        console.write("\n".join(report.to_add))
    for path in report.foreign:
        console.write(f"  {console.glyph('warning')} {path} was there, is not Stackhand's, and stays as it is")
    for note in console.together(report.notes):
        console.write(f"  {console.glyph('note')} {note}")
    sys.stdout.write("\nnext: ./inv up\n")  # which is there from now on, whatever this was called by
