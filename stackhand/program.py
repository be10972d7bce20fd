"""`./inv`: Invoke with the manners of a finished tool: exit code 2 for wrong usage, and a hint at what was meant."""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import sys
from collections.abc import Sequence

from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from stackhand.failure import ExitCode

VERSION = "0.1.0"


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
            with contextlib.redirect_stdout(said):
                super().parse_core(argv)
        finally:  # the completion script, which would ask an `inv` on PATH for the candidates
            sys.stdout.write(re.sub(r"(?<![\w./])inv(?= .*--complete)", "./inv", said.getvalue()))
        sys.dont_write_bytecode = self._keep_bytecode

    def parse_tasks(self) -> None:
        """Read the verbs and their flags.

        Raises:
            Exit: with the code for wrong usage, and what was probably meant.
        """
        self.core.unparsed = self.names_as_flags(self.core.unparsed)
        try:
            super().parse_tasks()
        except ParseError as error:
            raise Exit(f"inv: {error}{self._meant(str(error))}", code=int(ExitCode.USAGE)) from error

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

    def _meant(self, message: str) -> str:
        unknown = message.partition("No idea what '")[2].partition("'")[0]
        names = [context.name for context in self.collection.to_contexts() if context.name]
        near = difflib.get_close_matches(unknown, names, n=1)
        return f"\nnext: ./inv {near[0]}" if near else "\nnext: ./inv --list"


def main() -> None:
    """Run `./inv` with this process's command line."""
    Inv(name="inv", binary="inv", binary_names=["inv", "./inv"], version=VERSION).run()
