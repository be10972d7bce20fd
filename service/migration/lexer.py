"""Read SQL as PostgreSQL's lexer does, as far as telling statements apart needs: nothing here runs anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Before 3.11.5 Python matches a possessive repeat of alternatives wrongly, and Debian 12 has 3.11.2. What follows one
# of these repeats matches wherever it ends, so nothing is given back; a comment in one reaches to the end of its line.
_ESCAPED = r"(?:[^'\\]+|''|\\.|\\\Z)*"
_COMMENT = r"--[^\r\n]*(?![^\r\n])"
_NEXT_LINE = rf"(?:[ \t\f\v]|{_COMMENT})*[\r\n](?:\s|{_COMMENT})*"
"""Between two parts of one string there may be spaces and comments, with a line break among them."""
_LETTER, _LETTER_OR_DIGIT = r"[^\x00-@\[-\^`{-\x7f]", r"[^\x00-/:-@\[-\^`{-\x7f]"
"""_, those of ASCII, and all beyond it: said by what they are not, for Python takes 5 ms for each set of a million."""
_TOKEN = re.compile(
    rf"""
      (?P<space>   \s++ )
    | (?P<comment> --[^\r\n]*+ )
    | (?P<opening> /\* )
    | (?P<string>  [eE]'{_ESCAPED}(?:'{_NEXT_LINE}'{_ESCAPED})*(?:'|\Z)
                 | '(?:[^']+|'')*(?:'|\Z) )
    | (?P<name>    "(?:[^"]+|"")*(?:"|\Z) )
    | (?P<dollar>  \$(?:{_LETTER}{_LETTER_OR_DIGIT}*+)?\$ )
    | (?P<word>    {_LETTER}(?:{_LETTER_OR_DIGIT}|\$)* )
    | (?P<other>   [0-9]++ | . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_INVISIBLE = frozenset({"space", "comment"})

_CONTROL = frozenset({"ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT"})
_CONTROL_PAIRS = frozenset({("START", "TRANSACTION"), ("PREPARE", "TRANSACTION")})
_CHANGES_A_NAME = frozenset({"ALTER", "CREATE", "DROP"})


@dataclass(frozen=True)
class Token:
    """A piece of SQL.

    Args:
        kind: space, comment, string, name (quoted), word or other.
        text: as it was written.
        start: how many characters are before it.
    """

    kind: str
    text: str
    start: int

    @property
    def symbol(self) -> str:
        """The text, but a word in capitals, for SQL makes no difference there."""
        return self.text.upper() if self.kind == "word" and self.text.isascii() else self.text


@dataclass(frozen=True)
class Statement:
    """One statement, without the comments around it and its semicolon.

    Args:
        text: from its first token to its last.
        start: how many characters of the file are before it.
        symbols: its tokens, words in capitals, without spaces and comments.
    """

    text: str
    start: int
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class ConcurrentIndex:
    """What a CREATE INDEX CONCURRENTLY makes.

    Args:
        name: of the index as the catalogue has it; empty when the statement leaves it to PostgreSQL.
        table: as the statement has it, so that to_regclass finds it.
    """

    name: str
    table: str


def tokens(sql: str) -> Iterator[Token]:
    """Yield the pieces of a text; joined, they are the text. What is not closed reaches to the end."""
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        assert match is not None  # noqa: S101 - the last alternative takes any character
        kind, end = str(match.lastgroup), match.end()
        if kind == "opening":
            kind, end = "comment", _end_of_comment(sql, end)
        elif kind == "dollar":
            closing = sql.find(match[0], end)
            kind, end = "string", len(sql) if closing < 0 else closing + len(match[0])
        yield Token(kind, sql[at:end], at)
        at = end


def statements(sql: str) -> list[Statement]:
    """Return the statements of a text in their order; those of comments and spaces only are left out.

    A semicolon ends a statement unless it is in parentheses (CREATE RULE) or in the BEGIN ATOMIC … END of a
    function: the rules of psql.
    """
    statements: list[Statement] = []
    taken: list[Token] = []
    parentheses = blocks = 0
    for token in tokens(sql):
        if token.kind in _INVISIBLE:
            continue
        if token.text == ";" and not parentheses and not blocks:
            statements += _statement(sql, taken)
            taken = []
            continue
        taken.append(token)
        if token.text in {"(", ")"}:
            parentheses = max(0, parentheses + (1 if token.text == "(" else -1))
        elif token.kind == "word" and not parentheses:
            blocks += _step(token.symbol, taken, blocks)
    return statements + _statement(sql, taken)


def line_of(sql: str, position: int) -> int:
    """Return the number of the line, from 1, that has the character before which there are `position` others."""
    return sql.count("\n", 0, position) + 1


def controls_transaction(statement: Statement) -> bool:
    """Return whether a statement begins or ends a transaction, or a part of one."""
    return statement.symbols[0] in _CONTROL or statement.symbols[:2] in _CONTROL_PAIRS


def copies_to_client(statement: Statement) -> bool:
    """Return whether a statement is a COPY whose data would have to come from us, or go to us."""
    return statement.symbols[0] == "COPY" and not {"STDIN", "STDOUT"}.isdisjoint(statement.symbols)


def concurrent_index(statement: Statement) -> ConcurrentIndex | None:
    """Return what a CREATE INDEX CONCURRENTLY makes; None for any other statement."""
    rest = [symbol for symbol in statement.symbols if symbol != "UNIQUE"]
    if rest[:3] != ["CREATE", "INDEX", "CONCURRENTLY"]:
        return None
    rest = rest[6:] if rest[3:6] == ["IF", "NOT", "EXISTS"] else rest[3:]
    name = "" if rest[:1] == ["ON"] else "".join(rest[:1])
    table = rest[rest.index("ON") + 1 :] if "ON" in rest else []
    table = table[1:] if table[:1] == ["ONLY"] else table
    dots = next((at for at in range(1, len(table), 2) if table[at] != "."), len(table))
    return ConcurrentIndex(_plain(name), "".join(table[:dots]))


def may_run_twice(statement: Statement) -> bool:
    """Return whether a statement does no harm, and does not fail, when it is run again after it had succeeded."""
    if statement.symbols[0] not in _CHANGES_A_NAME or concurrent_index(statement):
        return True
    pairs = set(zip(statement.symbols, statement.symbols[1:], strict=False))
    return not pairs.isdisjoint({("IF", "EXISTS"), ("IF", "NOT")})


def _end_of_comment(sql: str, at: int) -> int:
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, at):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def _statement(sql: str, taken: list[Token]) -> list[Statement]:
    if not taken:
        return []
    start, end = taken[0].start, taken[-1].start + len(taken[-1].text)
    return [Statement(sql[start:end], start, tuple(token.symbol for token in taken))]


def _step(symbol: str, taken: list[Token], blocks: int) -> int:
    """Return by how much a word changes how many blocks of a function's body are open."""
    if symbol == "ATOMIC":
        first = [token.symbol for token in taken[:4] if token.symbol not in {"OR", "REPLACE"}]
        return int(first[:2] in (["CREATE", "FUNCTION"], ["CREATE", "PROCEDURE"]) and taken[-2].symbol == "BEGIN")
    if blocks == 0:
        return 0
    return {"CASE": 1, "END": -1}.get(symbol, 0)


def _plain(name: str) -> str:
    """Return a name as the catalogue has it: in small letters, unless it is quoted."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
