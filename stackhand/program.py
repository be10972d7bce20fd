"""`./inv`: Invoke with the manners of a finished tool: exit code 2 for wrong usage, and a hint at what was meant."""

from __future__ import annotations

import ast
import contextlib
import difflib
import io
import itertools
import os
import re
import sys
from collections.abc import Iterator, Sequence

from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from stackhand.failure import ExitCode

VERSION = "0.1.0"
NO_NUMBER = re.compile(r"(?:invalid literal for int\(\) with base 10|could not convert string to float): ")


class Inv(Program):
    """The program behind `./inv`."""

    def normalize_argv(self, argv: list[str] | None) -> None:
        """Keep the command line, for `parse_tasks` to complete."""
        super().normalize_argv(argv)
        # Unlike a library, a checkout runs the same few modules again and again: let Python keep them compiled.
        self._keep_bytecode = sys.dont_write_bytecode

    def parse_core(self, argv: list[str] | None) -> None:
        """Read the flags that belong to no verb."""
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), self._explaining():
                super().parse_core(argv)
        finally:  # the completion script, which would ask an `inv` on PATH for the candidates
            sys.stdout.write(re.sub(r"(?<![\w./])inv(?= .*--complete)", "./inv", said.getvalue()))
        sys.dont_write_bytecode = self._keep_bytecode

    def parse_tasks(self) -> None:
        """Read the verbs and their flags."""
        self.core.unparsed = self.names_as_flags(self.core.unparsed)
        with self._explaining():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Do what is asked instead of a verb: the list, or help on one."""
        with self._explaining():
            super().parse_cleanup()

    def names_as_flags(self, words: Sequence[str]) -> list[str]:
        """Return the words with `logs api web` turned into `logs --service api --service web`.

        Invoke has no optional positional arguments; a verb with a repeatable `--service` takes names instead.
        """
        verbs = {name for context in self.collection.to_contexts() for name in (context.name, *context.aliases)}
        contexts = {context.name: context for context in self.collection.to_contexts()}
        found: list[str] = []
        context = None
        value_expected = False
        for word in words:
            if value_expected:
                value_expected = False
            elif word.startswith("-"):
                flag = context.flags.get(word) if context else None
                value_expected = bool(flag and flag.takes_value)
            elif context and "service" in context.args and context.args["service"].kind is list:
                found.append("--service")
            elif word in verbs:
                context = contexts.get(word)
            found.append(word)
        return found

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        """Tell of wrong usage in a sentence, with what was probably meant.

        Raises:
            Exit: with the code for wrong usage.
        """
        try:
            yield
        except ParseError as error:
            raise Exit(f"inv: {error}{self._meant(str(error))}", code=int(ExitCode.USAGE)) from error
        except ValueError as error:  # int() or float() of a flag's value
            if not NO_NUMBER.match(str(error)):
                raise
            value = str(ast.literal_eval(NO_NUMBER.sub("", str(error))))
            what = f"inv: {self._flag_of(value)} wants a number, and {value!r} is none."
            raise Exit(f"{what}\nnext: ./inv --help{self._verb()}", code=int(ExitCode.USAGE)) from error

    def _meant(self, message: str) -> str:
        unknown = message.partition("No idea what '")[2].partition("'")[0]
        near = difflib.get_close_matches(unknown, self._verbs(), n=1)
        return f"\nnext: ./inv {near[0]}" if near else "\nnext: ./inv --list"

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

    def _verbs(self) -> list[str]:
        found = getattr(self, "collection", None)  # not read yet where a flag of no verb is wrong
        return [context.name for context in found.to_contexts() if context.name] if found else []


def main() -> None:
    """Run `./inv` with this process's command line."""
    try:
        try:
            Inv(name="inv", binary="inv", binary_names=["inv", "./inv"], version=VERSION).run()
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone: `./inv --list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would flush once more, and complain
