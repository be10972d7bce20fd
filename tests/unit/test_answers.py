"""Compose is asked again when anything that went into its answer is another, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stackhand.project.compose import resolution, resolver
from stackhand.project.stack import loading

FILES = {
    "compose.yaml": """
include: [more/compose.yaml]
services:
  one: {image: "x:${TAG:-1}", env_file: [one.env], environment: [BY_NAME], extends: {file: base.yaml, service: base}}
""",
    "base.yaml": "services: {base: {image: base}}\n",
    "more/compose.yaml": "services: {more: {image: 'm:${MORE:-1}'}}\n",
    "one.env": "A=1\n",
    ".env": "B=1\n",
}


class Asked:
    """How often Compose was asked about a project."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.count = root, 0
        (root / ".stackhand").mkdir()
        for name, text in FILES.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        answer = resolution._answer

        def counted(*args: object) -> resolution.Resolved:
            self.count += 1
            return answer(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(resolution, "_answer", counted)

    def again(self) -> int:
        """Load the model twice, and return how often Compose was asked for it."""
        before = self.count
        assert loading.load(self.root, {}) == loading.load(self.root, {})
        return self.count - before


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(tmp_path, monkeypatch)


def test_compose_is_asked_once_for_each_change_of_what_went_in(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (asked.again(), asked.again()) == (1, 0)
    changes: dict[str, Callable[[], object]] = {
        **{name: lambda name=name: (asked.root / name).write_text(f"{FILES[name]}# x\n") for name in FILES},
        "an override": lambda: (asked.root / "compose.override.yaml").write_text("services: {two: {image: y}}"),
        "a variable": lambda: monkeypatch.setenv("TAG", "2"),
        "a name": lambda: monkeypatch.setenv("BY_NAME", "2"),
        "a profile": lambda: monkeypatch.setenv("COMPOSE_PROFILES", "2"),
        "another .env": lambda: (asked.root / "more" / ".env").write_text("MORE=2"),
    }
    for name, change in changes.items():
        change()
        assert (name, asked.again(), asked.again()) == (name, 1, 0)
    assert loading.load(asked.root, {}).services["more"].image == "m:2"
    other = resolver.Resolver((str(resolver.PACKAGED),), "another version")
    monkeypatch.setattr(resolver, "choose", lambda _root: other)
    assert (asked.again(), asked.again()) == (1, 0)
    kept = asked.root / ".stackhand" / "resolved"
    assert {oct(path.stat().st_mode & 0o777) for path in (kept, *kept.iterdir())} == {"0o700", "0o600"}
    (asked.root / "one.env").unlink()
    with pytest.raises(resolution.Failure, match=r"Compose rejects one\.env"):
        loading.load(asked.root, {})


@pytest.mark.parametrize(
    "text",
    [
        "services: {one: {image: x, env_file: ['${WHERE:-one}.env']}}\n",
        "include: [{path: more/compose.yaml, project_directory: more}]\nservices: {one: {image: x}}\n",
        '"\\x69nclude": [more/compose.yaml]\nservices: {one: {image: x}}\n',
    ],
    ids=["a variable in a path", "another folder", "a hidden key"],
)
def test_what_cannot_be_known_is_asked_each_time(asked: Asked, text: str) -> None:
    (asked.root / "compose.yaml").write_text(text, encoding="utf-8")
    assert asked.again() == 2


def test_a_checkout_that_was_never_started_keeps_nothing_for_another_process(asked: Asked) -> None:
    (asked.root / ".stackhand").rmdir()
    assert asked.again() == 1
    assert not (asked.root / ".stackhand").exists()
    resolver._here.clear()
    assert asked.again() == 1
    (asked.root / "compose.yaml").write_text(f"{FILES['compose.yaml']}# x\n", encoding="utf-8")
    assert asked.again() == 1
