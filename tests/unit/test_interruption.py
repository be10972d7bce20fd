"""Ctrl-C in a verb: the failure says what it left, and how to go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.database import verbs as database
from stackhand.local import interruption
from stackhand.project.state import State


def interrupted(verb: str) -> Failure:
    with pytest.raises(Failure) as raised, interruption.reported(verb, lambda: ["something is kept"]):
        raise KeyboardInterrupt
    return raised.value


@pytest.mark.parametrize("verb", ["db.snapshot", "db.restore", "db.reset", "db.seed", "db.migrate"])
def test_an_interrupted_verb_of_the_database_says_how_it_is_left(verb: str) -> None:
    failure = interrupted(verb)
    assert failure.what == f"Interrupted during {verb}."
    assert failure.evidence == (interruption.LEFT[verb], "something is kept")
    assert failure.code == ExitCode.INTERRUPTED
    assert failure.next.startswith("./inv db.")


def test_a_snapshot_that_was_taken_before_the_interruption_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PROJECT", folder)
    state = State(folder)
    state.make()
    (state.snapshots / "before-restore-1.dump").touch()

    def restore() -> None:
        with database._lock("db.restore"):
            (state.snapshots / "before-restore-2.dump").touch()
            raise KeyboardInterrupt

    with pytest.raises(Failure) as raised:
        restore()
    assert raised.value.evidence[1:] == ("the previous data is kept as before-restore-2",)
