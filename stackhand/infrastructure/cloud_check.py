"""`./inv check --cloud`: what AWS would refuse or do differently, without an account, credentials or Terraform.

The `validation` rules of terraform/variables.tf are checked as far as they are simple. A rule that says more than is
understood here is left to `./inv plan`: it is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from json import loads
from typing import Any

import msgspec

from stackhand.cli import console
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.infrastructure import advice, interfaces, plan_warnings, secrets
from stackhand.infrastructure.interfaces import InterfaceUse
from stackhand.infrastructure.services import compose, differences, existing, services
from stackhand.infrastructure.services.differences import CloudFinding
from stackhand.infrastructure.services.references import Note
from stackhand.infrastructure.services.services import KNOWN_THERE, CloudServices
from stackhand.project import environments
from stackhand.project.compose import composefiles
from stackhand.project.environments import Environment
from stackhand.project.stack import probes
from stackhand.project.stack.model import Stack
from stackhand.project.stack.probes import ProbeReport, Questions
from stackhand.project.stack.xaws import Managed
from stackhand.system.roots import CONTENT, PROJECT

PLACEHOLDER = "123456789012"
"""The account of examples, ours and AWS's own."""
GLYPHS = {"refused": "failed", "differs": "note", "advice": "warning"}
RESERVED = re.compile(r"reserved += \[(.*)\]")
REPEAT = ", then repeat the command"
VARIABLES = CONTENT / "terraform" / "variables.tf"
BLOCK = re.compile(r'^variable "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
DEFAULT = re.compile(r"^  default\s+= (.+?)(?:\s+#.*)?$", re.MULTILINE)
RULE = re.compile(r'^    condition\s+= (.+)\n\s+error_message\s+= (".*")$', re.MULTILINE)
MATCHES = re.compile(r'can\(regex\(("(?:[^"\\]|\\.)*"), var\.(\w+)\)\)')
CONTAINS = re.compile(r"contains\((\[.*\]), var\.(\w+)\)")
COMPARED = re.compile(r'var\.(\w+) (==|!=|<=|>=) (null|true|false|-?\d+|"[^"]*")')
EQUAL = re.compile(r"\((.+?)\) == \((.+?)\)")


class CloudCheck(msgspec.Struct, frozen=True):
    """The document of `check --cloud --json` (docs/output.md)."""

    environment: str
    refused: bool
    findings: list[CloudFinding]
    compose: list[Note]
    probe: ProbeReport | None
    interfaces: dict[str, Any] | None


def check(*, cloud: bool, environment: str, json: bool) -> None:
    """Check the services against an environment's file, as `cloud` asks for: there is no other check of a project.

    Raises:
        Exit: AWS would refuse something.
    """
    if not (cloud and environment):
        known = ", ".join(environments.known()) or "none; an environment is a file environments/NAME.tfvars"
        raise Failure(
            "check needs --cloud and an environment.",
            evidence=[f"known: {known}"],
            next="./inv check --cloud -e staging",
            code=ExitCode.USAGE,
        )
    target = environments.load(environment)
    stack, findings, noted = _examine(target)
    questions = probes.of_stack(stack) if stack else None
    use = interfaces.of(stack, target) if stack else None
    refused = any(each.level == "refused" for each in findings)
    if json:
        probe, taken = questions.report() if questions else None, use.to_dict() if use else None
        console.document(CloudCheck(environment, refused, findings, noted, probe, taken))
    else:
        _show(environment, findings, noted, questions, use)
    if refused:
        raise Exit(ExitCode.PREFLIGHT)


def _examine(environment: Environment) -> tuple[Stack | None, list[CloudFinding], list[Note]]:
    """Return the services, what is found of them, and what the support matrix says of their keys."""
    variables = services.variables_of(environment)
    described = _failed(composefiles.label(PROJECT), lambda: compose.check(PROJECT, variables))
    refused = [*_of_environment(environment), *described]
    refused += _failed(f"environments/{environment.name}.tfvars", lambda: secrets.check(environment))
    try:
        stack = compose.stack_of(PROJECT)
        cloud = services.resolve(PROJECT, variables)
        noted = differences.notes(stack)
        advised = [*advice.of(stack, cloud, environment), *_of_operation(stack, environment)]
    except Failure:  # which compose.check has met as well
        return None, refused, []
    named = [*_names(stack, cloud, environment), *existing.findings(environment, stack)]
    return stack, [*refused, *named, *advised], noted


def _failed(subject: str, look: Callable[[], object]) -> list[CloudFinding]:
    """Return what a check of a deploy refuses."""
    try:
        look()
    except Failure as failure:
        remedy = failure.next.removesuffix(REPEAT).removeprefix("fix ").removeprefix(subject).strip(" ()")
        what = failure.what.replace(f" in {subject}", "").removesuffix(".")
        lines = [line.removeprefix(f"{subject}: ") for line in failure.evidence or (what,)]
        return [CloudFinding("refused", subject, line, remedy) for line in lines]
    return []


def _of_environment(environment: Environment) -> Iterator[CloudFinding]:
    """Yield the values of its file that no AWS and no Terraform takes."""
    file = f"environments/{environment.name}.tfvars"
    for name, message in violations(environment.variables):
        yield CloudFinding("refused", file, message.rstrip("."), f"another {name}")
    for name in ("account_id", "certificate_arn"):
        if PLACEHOLDER in str(environment.variables.get(name) or "") and not environment.emulated:
            message = f"{name} has the account of examples, {PLACEHOLDER}"
            yield CloudFinding("refused", file, message, "put your own there")
    yield from _failed(file, lambda: environments.require_apart(environment))


def _names(stack: Stack, cloud: CloudServices, environment: Environment) -> Iterator[CloudFinding]:
    """Yield the names that AWS or terraform/names.tf needs for something else."""
    others = existing.by_service(environment, existing.DATABASES)
    text = (CONTENT / "terraform" / "names.tf").read_text(encoding="utf-8")
    reserved = re.findall(r'"([^"]+)"', (RESERVED.search(text) or [""] * 2)[1])
    for name, service in stack.services.items():
        if service.aws is not None and (name in reserved or "--" in name):
            yield CloudFinding("refused", name, "AWS or Stackhand's Terraform needs another name for it", "rename it")
        if name not in others and isinstance(service.aws, Managed) and service.aws.managed == "rds":
            yield from _database(service.name, cloud.resolved[name]["environment"])


def _database(name: str, environment: dict[str, str]) -> Iterator[CloudFinding]:
    text = (CONTENT / "terraform" / "database.tf").read_text(encoding="utf-8")
    taken = re.search(r"!contains\(\[(.*?)\], lower\(local\.database_users", text)
    for key in ("POSTGRES_DB", "POSTGRES_USER"):
        value = environment.get(key, "")
        if value == KNOWN_THERE:
            continue
        if value and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", value):
            message = f"RDS refuses {key}={value}: letters, digits and underscores, the first a letter"
            yield CloudFinding("refused", name, message, f"another {key}", "environment")
        elif key == "POSTGRES_USER" and taken and (f'"{value.lower()}"' in taken[1] or value.lower().startswith("pg_")):
            yield CloudFinding("refused", name, f"RDS reserves {key}={value}", f"another {key}", "environment")


def _of_operation(stack: Stack, environment: Environment) -> Iterator[CloudFinding]:
    use = interfaces.of(stack, environment)
    if use.short:
        remedy = "larger private subnets (vpc_cidr), or a smaller scale.max"
        yield CloudFinding("advice", "network", use.message(), remedy)
    if message := plan_warnings.no_recipient(environment):
        yield CloudFinding("advice", "alarms", message.partition(": ")[2], "put an address there")


def _show(
    environment: str,
    findings: list[CloudFinding],
    noted: list[Note],
    questions: Questions | None,
    use: InterfaceUse | None,
) -> None:
    for level, glyph in GLYPHS.items():
        lines = console.together(each.line() for each in findings if each.level == level)
        lines += differences.lines(noted) if level == "differs" else []
        if lines:
            console.write(level)
        for line in lines:
            console.write(f"{console.glyph(glyph):>3} {line}")
    if questions and questions.asked:
        console.write(f"release\n{console.glyph('note'):>3} {questions.message()}")
    if use and not use.short:
        console.write(f"network\n{console.glyph('note'):>3} {use.message()}")
    refused = sum(each.level == "refused" for each in findings)
    outcome = (
        f"{refused} to fix before a plan" if refused else f"nothing that AWS refuses; next: ./inv plan -e {environment}"
    )
    console.write(f"{environment}: {outcome} (checked without AWS and Terraform)")


def violations(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the variables of an environment whose values Terraform would refuse, each with the sentence of its rule."""
    blocks = BLOCK.findall(VARIABLES.read_text(encoding="utf-8"))
    values = {name: _literal(match[1]) for name, body in blocks if (match := DEFAULT.search(body))} | dict(given)
    for name, body in blocks:
        for condition, message in RULE.findall(body):
            if holds(condition, values) is False:
                yield name, loads(message)


def holds(condition: str, values: Mapping[str, Any]) -> bool | None:
    """Return whether a condition holds; None where that is not known."""
    condition = condition.strip()
    for operator, decisive in (("||", True), ("&&", False)):
        if len(parts := _split(condition, operator)) > 1:
            results = [holds(each, values) for each in parts]
            return decisive if decisive in results else None if None in results else not decisive
    if match := EQUAL.fullmatch(condition):
        both = [holds(each, values) for each in match.groups()]
        return None if None in both else both[0] == both[1]
    if condition.startswith("!"):
        result = holds(condition[1:], values)
        return None if result is None else not result
    return _atom(condition, values)


def _atom(condition: str, values: Mapping[str, Any]) -> bool | None:
    if match := MATCHES.fullmatch(condition):
        value = values.get(match[2])
        return value is not None and re.search(loads(match[1]), str(value)) is not None
    if match := CONTAINS.fullmatch(condition):
        return values.get(match[2]) in loads(match[1])
    if match := COMPARED.fullmatch(condition):
        return _compared(values.get(match[1]), match[2], loads(match[3]))
    value = values.get(condition.removeprefix("var."))
    return value if isinstance(value, bool) else None


def _compared(value: Any, operator: str, literal: Any) -> bool | None:
    if operator in {"==", "!="}:
        return bool(value == literal) is (operator == "==")
    if not isinstance(value, int | float):
        return None
    return bool(value <= literal if operator == "<=" else value >= literal)


def _split(condition: str, operator: str) -> list[str]:
    """Return the parts of a condition between an operator that stands in no parentheses and no text."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, letter in enumerate(condition):
        if letter == '"' and condition[position - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (letter in "([") - (letter in ")]")
            if depth == 0 and condition.startswith(operator, position):
                parts.append(condition[start:position])
                start = position + len(operator)
    return [*parts, condition[start:]]


def _literal(text: str) -> Any:
    try:
        return loads(text)
    except ValueError:  # such as {} over several lines
        return None
