"""What `.env.example` says of each setting: its type, its default, and of a secret whether it is made or given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import dotenv
from stackhand.project.compose import envfile
from stackhand.project.settings.values import CHECKS, WORDS

KINDS = (
    "# type: secret generated   created here and by Terraform, changed by a rotation: between our own parts",
    "# type: secret given       never created or changed: a key or password that you received",
)
"""What a secret says of itself where it is declared."""
TYPE = re.compile(r"^# type: *(\w+)(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """One entry of `.env.example`.

    Args:
        key: the variable's name.
        kind: its type, one of `values.CHECKS`.
        words: the type's arguments, such as the choices.
        default: the example's value.
        block: the comment lines above it and the line itself, as they stand in the example.
    """

    key: str
    kind: str
    words: tuple[str, ...]
    default: str
    block: str

    @property
    def generated(self) -> bool:
        """Whether it is a secret between our own parts, which is ours to make."""
        return self.kind == "secret" and "generated" in self.words

    @property
    def given(self) -> bool:
        """Whether it is a secret that only the user can know."""
        return self.kind == "secret" and not self.generated


def read(example: Path) -> dict[str, Setting]:
    """Return the entries of `.env.example` by key: none where there is no such file, or one that declares no types.

    Raises:
        Failure: an entry has no `# type:` line, one of an unknown type, or one that is not written as it has to be.
    """
    text = _text(example)
    if not any(entries[1] in CHECKS for entries in TYPE.finditer(text)):
        return {}
    entries: dict[str, Setting] = {}
    defaults, _ = envfile.read(text, example.parent)
    for block in re.split(r"\n\s*\n", text):
        values, problems = dotenv.search(block)
        if not values:
            continue
        kind = TYPE.search(block)
        key = next(iter(values))
        default = defaults[key]
        if problems or len(values) > 1 or kind is None or kind[1] not in CHECKS:
            raise Failure(
                f"{example.name}: {key} needs one line '# type: T' above it and a blank line below it.",
                evidence=[f"T is one of: {', '.join(CHECKS)}"],
                code=ExitCode.PREFLIGHT,
            )
        entries[key] = Setting(key, kind[1], tuple(kind[2].split()), default, block.strip("\n"))
        _check_words(entries[key], example.name)
    return entries


def _text(example: Path) -> str:
    """Return the example; nothing where there is none."""
    try:
        return example.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            f"{example.name} cannot be read: {error}.", next=f"fix {example.name}", code=ExitCode.PREFLIGHT
        ) from error


def _check_words(entry: Setting, name: str) -> None:
    """Refuse a type whose words behind it are none of its own."""
    message = " ".join(entry.words)
    pattern, usage = WORDS.get(entry.kind, ("", entry.kind))
    if re.fullmatch(pattern, message):
        return
    bare = entry.kind == "secret" and not {"generated", "given"} & set(entry.words)
    raise Failure(
        f"{name}: {entry.key} is a secret without a kind: generated or given."
        if bare
        else f"{name}: {entry.key} has the type {f'{entry.kind} {message}'.strip()!r}, which is not valid.",
        evidence=KINDS if bare else [f"# type: {usage}"],
        next=f"fix the line '# type:' above {entry.key} in {name}, then repeat the command",
        code=ExitCode.PREFLIGHT,
    )
