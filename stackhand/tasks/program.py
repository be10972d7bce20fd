"""`./inv`: Invoke with exit code 2 for wrong usage and suggestions for mistyped commands."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import io
import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence

from invoke.completion.complete import print_completion_script
from invoke.config import Config
from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext
from invoke.parser.parser import Parser
from invoke.program import Program

from stackhand import version
from stackhand.cli import console, streams
from stackhand.cli.failure import ExitCode
from stackhand.project import inherited, ownership
from stackhand.project.state import State
from stackhand.system import program
from stackhand.system.roots import COMMAND, IS_CHECKOUT, LOCK, NAME, PROJECT, VARIABLE
from stackhand.tasks import commandline, ns

OF_INVOKE = frozenset({"complete", "help", "list", "list-depth", "list-format", "print-completion-script", "version"})
"""Its flags that are ours, too. `--dry` and the like are about commands of a shell: `--dry deploy` would deploy."""
NO_NUMBER = re.compile(r"(?:invalid literal for int\(\) with base 10|could not convert string to float): ")


class NoConfig(Config):
    """Invoke's settings, from no file and no variable: they are about commands of a shell, and no verb runs one so."""

    def load_base_conf_files(self) -> None:
        """Read nothing: a home may be another account's, and its files are for other projects."""

    def load_shell_env(self) -> None:
        """Read nothing, likewise."""


class Inv(Program):
    """The program behind `./inv`."""

    def normalize_argv(self, argv: list[str] | None) -> None:
        """Keep the command line, for `parse_tasks` to complete; `help` and nothing at all are asked for the list."""
        super().normalize_argv(argv)
        match self.argv[1:]:
            case [] | ["help"]:
                self.argv = [*self.argv[:1], "--list"]
            case ["help", verb, *_]:
                self.argv = [*self.argv[:1], "--help", verb]

    def core_args(self) -> list[Argument]:
        """Return the flags that belong to no verb: those of Invoke's that do something here, and ours."""
        return [*(each for each in super().core_args() if each.name in OF_INVOKE), *commandline.arguments()]

    def task_args(self) -> list[Argument]:
        """Return Invoke's flags for the list; where it would look for tasks is not asked."""
        return [each for each in super().task_args() if each.name in OF_INVOKE]

    def print_version(self) -> None:
        """Print the version and its commit."""
        sys.stdout.write(f"stackhand {version.current()}\n")

    def load_collection(self) -> None:
        """Take our verbs, and look for no `tasks.py`: a project may have one of its own."""
        self.collection = ns

    def parse_core(self, argv: list[str] | None) -> None:
        """Read the flags that belong to no verb."""
        self.normalize_argv(argv)
        with self._explaining():
            self.parse_core_args()
            if self.args.version.value:
                self.print_version()
                raise Exit
            if shell := self.args["print-completion-script"].value:
                self._print_completion_script(shell)
                raise Exit

    def _print_completion_script(self, shell: str) -> None:
        """Print Invoke's, which would ask an `inv` on PATH for the candidates."""
        script = io.StringIO()
        with contextlib.redirect_stdout(script):
            print_completion_script(shell, self.binary_names)
        sys.stdout.write(re.sub(rf"(?<![\w./]){NAME}(?= .*--complete)", COMMAND, script.getvalue()))

    def print_help(self) -> None:
        """Print how a verb is called, and the flags that belong to none."""
        sys.stdout.write(f"Usage: {COMMAND} [options] VERB [options of the verb] ...\n\nOptions:\n")
        self.print_columns(self.initial_context.help_tuples())
        sys.stdout.write(f"{COMMAND} lists the verbs; {COMMAND} --help VERB describes one.\n")

    def print_task_help(self, name: str) -> None:
        """Print how one verb is called, what it does, and its flags."""
        context = self.parser.contexts[name]
        needed = [each.name for each in context.positional_args if each.kind is not list]
        words = [COMMAND, name]
        words += [f"-e {each.upper()}" if each == commandline.ENVIRONMENT else each.upper() for each in needed]
        words += ["[SERVICE ...]"] if _takes_names(context) else []
        flags = context.help_tuples()
        words += ["[options]"] if flags else []
        sys.stdout.write(f"Usage: {' '.join(words)}\n\n{inspect.getdoc(self.collection[name])}\n\n")
        if flags:
            sys.stdout.write("Options:\n")
            self.print_columns(flags)

    def task_list_opener(self, extra: str = "") -> str:
        """Return what stands above the list."""
        return str(super().task_list_opener(extra)).replace("tasks", "verbs", 1)

    def update_config(self, merge: bool = True) -> None:
        """Keep the settings: no flag changes them."""

    def parse_tasks(self) -> None:
        """Read the verbs and their flags."""
        with self._explaining():
            self.core.unparsed = self.names_as_flags(self.core.unparsed)
            super().parse_tasks()

    def _make_parser(self) -> Parser:
        """Return a parser of the verbs that may be meant: it copies what it gets, and all of them take it 15 ms."""
        words = {*self.argv, *(word.partition("=")[2] for word in self.argv)}
        meant = [each for each in self._contexts if not words.isdisjoint([each.name, *each.aliases])]
        every = "--complete" in words or not meant
        return Parser(initial=self.initial_context, contexts=self._contexts if every else meant)

    @functools.cached_property
    def _contexts(self) -> list[ParserContext]:
        """The verbs with their flags."""
        contexts: list[ParserContext] = self.collection.to_contexts()
        return contexts

    def parse_cleanup(self) -> None:
        """Do what is asked instead of a verb: the list, or help on one; a verb runs with the files that were named."""
        with self._explaining():
            super().parse_cleanup()
            if said := commandline.apply({flag: self.args[flag].value for flag in commandline.OPTIONS}):
                console.notify(said)

    def names_as_flags(self, args: Sequence[str]) -> list[str]:
        """Return the words with `logs api web` turned into `logs --service api --service web`.

        Invoke has no optional positional arguments; a verb with a repeatable `--service` takes names instead.
        """
        contexts = {name: each for each in self._contexts for name in (each.name, *each.aliases)}
        flags: list[str] = []
        context = None
        value_expected = False
        for word in args:
            if value_expected:
                value_expected = False
            elif word in commandline.FOR_THE_CLOUD and context and commandline.ENVIRONMENT not in context.args:
                raise ParseError(f"No idea what {word!r} is!", context)
            elif word.startswith("-"):
                known = context.flags if context and word in context.flags else self.core[0].flags
                flag = known[word] if word in known else None  # noqa: SIM401 - get() knows no short forms
                value_expected = bool(flag and flag.takes_value)
            elif context and _takes_names(context):
                flags.append("--service")
            elif word in contexts:
                context = contexts[word]
            flags.append(word)
        return flags

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        """Tell of wrong usage in a sentence, with what was probably meant.

        Raises:
            Exit: with the code for wrong usage.
        """
        try:
            yield
        except ParseError as error:
            message = commandline.explain(error, self.argv[1:], self._verbs())
            raise Exit(console.with_command(message), code=int(ExitCode.USAGE)) from error
        except ValueError as error:  # int() or float() of a flag's value
            if not NO_NUMBER.match(str(error)):
                raise
            value = str(ast.literal_eval(NO_NUMBER.sub("", str(error))))
            what = f"{NAME}: {self._flag_of(value)} needs a number, not {value!r}."
            raise Exit(f"{what}\nnext: {COMMAND} --help{self._verb()}", code=int(ExitCode.USAGE)) from error

    def _flag_of(self, value: str) -> str:
        """Return the flag that was given a value: the word before it, or its own beginning."""
        for before, word in itertools.pairwise(self.argv):
            if word == value and before.startswith("-"):
                return str(before)
            if word.startswith("-") and word.endswith(value):
                return str(word.removesuffix(value).rstrip("="))
        return "a flag"

    def _verb(self) -> str:
        """Return the verb that was typed, to stand behind --help; nothing when there is none."""
        return next((f" {word}" for word in self.argv[1:] if word in self._verbs()), "")

    def _verbs(self) -> dict[str, list[str]]:
        """Return the flags of each verb; nothing while they are not read, where a flag of no verb is wrong."""
        if not hasattr(self, "collection"):
            return {}
        return {context.name: [*context.flags, *context.flags.aliases] for context in self._contexts if context.name}


def _takes_names(context: ParserContext) -> bool:
    return "service" in context.args and context.args["service"].kind is list


def main() -> None:
    """Run `./inv` with this process's command line."""
    os.umask(os.umask(ownership.OTHERS_MAY_WRITE) | ownership.OTHERS_MAY_WRITE)  # what Python compiles is run again
    streams.prepare()
    inherited.drop_foreign()
    _hand_over(sys.argv[1:])
    code = _exit_code()
    for number in program.INTERRUPTS:  # too late: what was to be done is done, and told
        signal.signal(number, signal.SIG_IGN)
    sys.exit(streams.finish(code))


def _hand_over(args: Sequence[str]) -> None:
    """Become the project's `inv` with its own version, if it has one and we are not that; return otherwise."""
    script, lock = PROJECT / "inv", PROJECT / LOCK
    if IS_CHECKOUT or VARIABLE in os.environ or not (script.is_file() and lock.is_file()):
        return  # who names the project is one of our own processes, `inv` among them
    _tell_version(lock.read_text(encoding="utf-8", errors="replace"))
    try:
        program.replace([str(script), *args])
    except OSError:  # such as a file system without modes
        program.replace(["/bin/sh", str(script), *args])


def _tell_version(lock: str) -> None:
    """Say once that the project names another version than the one that was called."""
    from stackhand import VERSION
    from stackhand.adoption import pin

    pinned, reported = pin.pinned(lock), State(PROJECT).directory / "told-pin"
    if VERSION in pinned or (reported.is_file() and reported.read_text(encoding="utf-8") == f"{VERSION} {pinned}"):
        return
    console.notify(f"{LOCK} names {pinned}, and that runs here; this is {VERSION} ({sys.prefix})")
    with contextlib.suppress(OSError):  # `inv` says what may not be written here
        reported.parent.mkdir(exist_ok=True)
        reported.write_text(f"{VERSION} {pinned}", encoding="utf-8")


def _exit_code() -> int:
    """Run it; a stream that takes nothing is no fault of ours, and `streams.finish` tells of it."""
    try:
        Inv(name=NAME, binary=NAME, binary_names=list(dict.fromkeys([NAME, COMMAND])), config_class=NoConfig).run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except OSError as error:
        if streams.error_of(sys.stdout):
            return int(ExitCode.DONE)
        if streams.error_of(sys.stderr):  # what was to be told there had an exit code
            return int(getattr(error.__context__, "code", ExitCode.FAILED))
        raise
    return int(ExitCode.DONE)
