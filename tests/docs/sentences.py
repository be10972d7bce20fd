"""Every sentence that a verb can end with, as the code has it.

`python -m tests.docs.sentences` writes the table of a deploy into docs/operations.md.

A `Failure` is made in one expression with its sentence, its code and its next command. What varies in them is shown as
the name of the variable, in capitals; what is decided elsewhere (a parameter, a table of a module) is looked up there.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeGuard

from stackhand.cli.failure import ExitCode
from tests.checkout import ROOT

OPERATIONS = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- sentences: python -m tests.docs.sentences -->", "<!-- end of sentences -->"
PLACES = (
    "plugins/action",
    "stackhand/aws",
    "stackhand/project/environments.py",
    "stackhand/project/hooks.py",
    "stackhand/infrastructure",
    "stackhand/release",
)
"""Where a deploy, a rollback, a plan and their like come from."""
ALONE = frozenset({"ALONE", ": SENTENCE."})
"""An error of AWS where nobody says what failed: it stands in the table of AWS's errors."""


@dataclass(frozen=True, order=True)
class Sentence:
    """One end of a verb.

    Args:
        code: the exit code; several, where it depends.
        what: the sentence.
        next: the next command; several, where it depends.
        where: the file and line that make it.
    """

    code: tuple[int, ...]
    what: str
    next: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class Words:
    """A text that an expression may come to, and what was decided on the way to it.

    Args:
        text: with a name in capitals for what varies.
        choices: by what is decided (a condition, which caller, which row of a table): how.
    """

    text: str
    choices: Mapping[str, object] = field(default_factory=dict)

    def with_(self, text: str, choices: Mapping[str, object]) -> Iterator[Words]:
        """Yield these words with more; nothing, when the two were decided differently."""
        if all(self.choices.get(key, value) == value for key, value in choices.items()):
            yield Words(self.text + text, {**self.choices, **choices})


class Module:
    """One file of Python, and what its expressions may come to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self._open: set[tuple[str, int]] = set()
        self.functions = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)]

    @cached_property
    def values(self) -> dict[str, Any]:
        """What its names are bound to; nothing of a plugin of Ansible's, which nobody imports."""
        return vars(importlib.import_module(self.name)) if self.name.startswith("stackhand.") else {}

    def sentences(self) -> Iterator[Sentence]:
        """Yield its failures, one for each sentence."""
        for node in ast.walk(self.tree):
            if _makes(node, "Failure"):
                yield from self._sentences(node)

    def diagnoses(self) -> Iterator[Sentence]:
        """Yield what it makes of AWS's errors: each stands behind a failure's sentence, or alone."""
        for node in ast.walk(self.tree):
            if _makes(node, "Diagnosis"):
                remedy = [*node.args[3:], *(each.value for each in node.keywords if each.arg == "remedy")]
                following = self.texts(remedy[0], node) if remedy else [Words("fix that")]
                found: dict[str, dict[str, None]] = {}
                for what in self.texts(node.args[1], node):
                    for each in following:
                        if each.text and [*what.with_("", each.choices)]:
                            found.setdefault(what.text, {})[each.text] = None
                where = f"{self.path.relative_to(ROOT)}:{node.lineno}"
                yield from (Sentence((), what, tuple(nexts), where) for what, nexts in found.items())

    def _sentences(self, node: ast.Call) -> Iterator[Sentence]:
        given = {each.arg: each.value for each in node.keywords}
        where = f"{self.path.relative_to(ROOT)}:{node.lineno}"
        nothing: list[Words] = [Words("")]
        ends: dict[str, tuple[set[int], dict[str, None]]] = {}
        for what in self.texts(node.args[0], node):
            for following in self.texts(given["next"], node) if "next" in given else nothing:
                for code in self.codes(given.get("code"), node):
                    for whole in what.with_("", following.choices):
                        if [*whole.with_("", code.choices)]:
                            codes, nexts = ends.setdefault(what.text, (set(), {}))
                            codes.add(int(code.text))
                            nexts[following.text] = None
        # Without a sentence there is nothing to say besides what was shown.
        yield from (
            Sentence(tuple(sorted(codes)), what, tuple(nexts), where)
            for what, (codes, nexts) in ends.items()
            if what and what not in ALONE
        )

    def texts(self, node: ast.expr, at: ast.AST) -> list[Words]:
        """Return what an expression may come to."""
        return [*self._texts(node, at)]

    def _texts(self, node: ast.expr, at: ast.AST) -> Iterator[Words]:  # noqa: C901 - one branch for each kind
        """Yield what an expression may come to."""
        match node:
            case ast.Constant(value=str() | int() | float() as value):
                yield Words(str(value))
            case ast.JoinedStr(values=parts):
                yield from self._joined(parts, at)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                yield from self._joined([left, right], at)
            case ast.FormattedValue(value=value):
                yield from self._inner(value, at)
            case ast.IfExp():
                yield from self._either(node, at)
            case ast.BoolOp(op=ast.Or(), values=values):
                yield from (words for each in values for words in self.texts(each, at))
            case ast.Call(func=ast.Attribute(value=value, attr="format"), keywords=keywords):
                names = {each.arg: shown(each.value) for each in keywords if each.arg}
                for words in self.texts(value, at):
                    filled = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[1].upper()), words.text)
                    yield Words(filled, words.choices)
            case ast.Subscript(value=ast.Name() | ast.Attribute() as table) if isinstance(self._value(table), dict):
                yield from (Words(str(value)) for value in self._value(table).values())
            case ast.Name(id=name):
                yield from self._named(name, node, at)
            case _:
                found = self._value(node)
                yield Words(found if isinstance(found, str) else shown(node))

    def _joined(self, parts: list[ast.expr], at: ast.AST) -> Iterator[Words]:
        found = [Words("")]
        for part in parts:
            found = [
                more
                for words in found
                for each in self.texts(part, at)
                for more in words.with_(each.text, each.choices)
            ]
        yield from found

    def _either(self, node: ast.IfExp, at: ast.AST) -> Iterator[Words]:
        condition = ast.unparse(node.test)
        for branch, holds in ((node.body, True), (node.orelse, False)):
            for words in self.texts(branch, at):
                yield from words.with_("", {condition: holds})

    def _inner(self, value: ast.expr, at: ast.AST) -> Iterator[Words]:
        """Yield what stands in the braces of a text: words that are chosen between, or a name for what varies."""
        found = self.texts(value, at) if isinstance(value, ast.Name | ast.IfExp) else []
        if isinstance(value, ast.IfExp) or any(" " in each.text for each in found):
            yield from found
        else:
            constant = self._value(value)
            yield Words(f"{constant:g}" if isinstance(constant, float) else str(constant or shown(value)))

    def _value(self, node: ast.expr) -> Any:
        """Return the constant of this module or another that an expression names; none when it is no such name."""
        match node:
            case ast.Name(id=name):
                found = self.values.get(name)
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                found = getattr(self.values.get(module), name, None)
            case _:
                return None
        return found if isinstance(found, str | int | float | dict) else None

    def _named(self, name: str, node: ast.expr, at: ast.AST) -> Iterator[Words]:
        """Yield what a name may stand for: a column of a table, what it is set to, what callers give, a constant."""
        key = (name, id(self._function(at)))
        if key in self._open:  # it is set to something made of itself
            yield Words(shown(node))
            return
        self._open.add(key)
        found = [*self._rows(name, at), *self._originated(name, at)]
        self._open.remove(key)
        constant = self._value(node)
        yield from found or [Words(constant if isinstance(constant, str) else shown(node))]

    def _originated(self, name: str, at: ast.AST) -> Iterator[Words]:
        for origin in self._origins(name, at):
            for words in origin.module.texts(origin.node, origin.at):
                yield from words.with_("", origin.choice)

    def _function(self, at: ast.AST) -> ast.FunctionDef | None:
        """Return the function that an expression stands in."""
        line = at.lineno  # type: ignore[attr-defined]
        return next((each for each in self.functions if each.lineno <= line <= (each.end_lineno or 0)), None)

    def _rows(self, name: str, at: ast.AST) -> Iterator[Words]:
        """Yield the column of a table that a loop goes through."""
        for each in _nodes(self._function(at) or ast.Pass()):
            if isinstance(each, ast.For) and isinstance(each.target, ast.Tuple) and isinstance(each.iter, ast.Name):
                names = [getattr(part, "id", "") for part in each.target.elts]
                if name in names and isinstance(self.values.get(each.iter.id), tuple | list):
                    column, table = names.index(name), each.iter.id
                    yield from (Words(str(row[column]), {table: at}) for at, row in enumerate(self.values[table]))

    def _origins(self, name: str, at: ast.AST) -> Iterator[Origin]:
        """Yield where a variable or a parameter has its value from: what it is set to, what each caller gives."""
        function = self._function(at)
        if function is None:
            return
        for each in _nodes(function):
            if isinstance(each, ast.Assign):
                found = [value for to, value in _pairs(each) if to == name]
                yield from (Origin(self, value, each, {f"{name} is set": each.lineno}) for value in found)
        parameters = _parameters(function)
        if name not in parameters:
            return
        position, called = [*parameters].index(name), False
        for module, call in calls_of(self.name, function.name):
            called = True
            by_name: list[ast.expr | None] = [each.value for each in call.keywords if each.arg == name]
            given = [*by_name, *call.args[position : position + 1], parameters[name]][0]
            if given is not None:
                choice = {f"{self.name}.{function.name} is called": f"{module.name}:{call.lineno}"}
                yield Origin(module, given, call, choice)
        if not called and (default := parameters[name]) is not None:
            yield Origin(self, default, function, {})

    @cached_property
    def calls(self) -> dict[tuple[str, str], list[ast.Call]]:
        """Its calls of the project's own functions, by the module that has them, and their name."""
        modules, names = {}, {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stackhand"):
                for each in node.names:
                    modules[each.asname or each.name] = f"{node.module}.{each.name}"
                    names[each.asname or each.name] = (str(node.module), each.name)
        found: dict[tuple[str, str], list[ast.Call]] = defaultdict(list)
        for node in ast.walk(self.tree):
            match node:
                case ast.Call(func=ast.Name(id=name)):
                    found[names.get(name, (self.name, name))].append(node)
                case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)):
                    found[self.name, name].append(node)
                case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if module in modules:
                    found[modules[module], name].append(node)
        return found

    def codes(self, node: ast.expr | None, at: ast.AST) -> Iterator[Words]:  # noqa: C901, PLR0912 - as `_texts`
        """Yield the exit codes that an expression may come to, as texts."""
        match node:
            case None:
                yield Words(str(int(ExitCode.FAILED)))
            case ast.Constant(value=None):
                yield Words("")
            case ast.BoolOp(op=ast.Or(), values=[given, otherwise]):
                for words in self.codes(given, at):
                    for each in [words] if words.text else self.codes(otherwise, at):
                        yield from words.with_(each.text if not words.text else "", each.choices)
            case ast.Attribute(value=ast.Name(id="ExitCode"), attr=name):
                yield Words(str(int(ExitCode[name])))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                for branch, holds in ((body, True), (orelse, False)):
                    for words in self.codes(branch, at):
                        yield from words.with_("", {ast.unparse(test): holds})
            case ast.Subscript(value=table) if isinstance(self._value(table), dict):
                yield from (Words(str(int(code))) for code in self._value(table).values() if code)
            case ast.Name(id=name):
                for origin in self._origins(name, at):
                    for words in origin.module.codes(origin.node, origin.at):
                        yield from words.with_("", origin.choice)


def _makes(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    """Whether an expression makes an object of a class, with something said in it."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name and bool(node.args)


@dataclass(frozen=True)
class Origin:
    """An expression that a name has its value from, where it stands, and which of several it is."""

    module: Module
    node: ast.expr
    at: ast.AST
    choice: Mapping[str, object]


@cache
def modules() -> list[Module]:
    """Return all that a verb may end in: the package, and the plugins of the roles."""
    places = ("stackhand", "roles", "plugins")
    return [Module(path) for place in places for path in sorted((ROOT / place).rglob("*.py"))]


def calls_of(module: str, function: str) -> Iterator[tuple[Module, ast.Call]]:
    """Yield the calls of a function, each with the module that it stands in."""
    for each in modules():
        yield from ((each, call) for call in each.calls.get((module, function), []))


@cache
def _nodes(node: ast.AST) -> list[ast.AST]:
    """Return a node and all in it; a function is searched once for each name in it."""
    return [*ast.walk(node)]


def shown(node: ast.expr) -> str:
    """Return a name, in capitals, for what varies: the last word that the code has for it."""
    words = re.findall(r"[A-Za-z_]\w*", ast.unparse(node))
    known = [
        each
        for each in words
        if each not in {"join", "str", "len", "sorted", "or", "in", "for", "if", "else", "self", "r", "f"}
    ]
    match node:
        case ast.Call(func=ast.Attribute(attr="join"), args=[ast.Name(id=name), *_]):
            return name.upper()
        case ast.Call(func=ast.Attribute(attr="counted"), args=[_, ast.Constant(value=noun)]):
            return f"NUMBER {noun}s"
        case ast.Attribute(attr=name) | ast.Subscript(value=ast.Attribute(attr=name)):
            return name.upper()
        case _:
            return (known[0] if known else "…").strip("_").upper()


def _pairs(node: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names of an assignment, each with its value."""
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from (
                (getattr(part, "id", ""), value) for part, value in zip(target.elts, node.value.elts, strict=False)
            )


def _parameters(function: ast.FunctionDef) -> dict[str, ast.expr | None]:
    """Return the parameters of a function in their order, each with its default."""
    places, names = function.args.args, function.args.kwonlyargs
    defaults = [*[None] * (len(places) - len(function.args.defaults)), *function.args.defaults]
    found = dict(zip((each.arg for each in places), defaults, strict=True))
    found |= dict(zip((each.arg for each in names), function.args.kw_defaults, strict=True))
    return {name: default for name, default in found.items() if name != "self"}


def of(*places: str) -> list[Sentence]:
    """Return the sentences of files and folders."""
    within = [each for each in modules() if str(each.path.relative_to(ROOT)).startswith(places)]
    return sorted(each for module in within for each in _sentences_of(module))


@cache
def _sentences_of(module: Module) -> list[Sentence]:
    """Return the sentences of a module; finding them takes seconds, and more than one test reads them."""
    return [*module.sentences()]


def diagnoses() -> list[Sentence]:
    """Return what AWS's errors can be, each with its remedy."""
    return sorted(each for module in modules() for each in module.diagnoses())


def table() -> str:
    """Return the tables of all that a verb of the cloud can end with, one for each exit code."""
    found: dict[tuple[int, ...], set[tuple[str, tuple[str, ...]]]] = defaultdict(set)
    for each in of(*PLACES):
        found[each.code].add((each.what, each.next))
    sections = [_section(codes, rows) for codes, rows in sorted(found.items())]
    meanings = {(each.what, each.next) for each in diagnoses()}
    return "\n\n".join([*sections, _rows("AWS's errors", meanings)])


def _section(codes: tuple[int, ...], rows: set[tuple[str, tuple[str, ...]]]) -> str:
    return _rows(
        "Exit code " + " or ".join(f"{code} {ExitCode(code).name.lower().replace('_', ' ')}" for code in codes), rows
    )


def _rows(title: str, rows: set[tuple[str, tuple[str, ...]]]) -> str:
    cells = [[what, "; or ".join(nexts)] for what, nexts in sorted(rows)]
    lines = ["| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([f"### {title}", "", "| what is said | next |", "|---|---|", *lines])


def written() -> str:
    """Return docs/operations.md with the table as the code has it."""
    text = OPERATIONS.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    OPERATIONS.write_text(written(), encoding="utf-8")
