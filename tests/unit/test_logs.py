"""Lines of several logs, told apart by their times."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stackhand.cli import loglines
from stackhand.cli.failure import Failure

NOON = datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        '{"event": "x", "time": "2026-01-31T12:00:00.5Z"}',
        '{"time":"2026-01-31T13:00:00.500+01:00","event":"request"}',
        "2026-01-31 12:00:00.500 UTC [7] LOG:  ready",
        "2026-01-31T12:00:00.500 hello",
        "2026-01-31T12:00:00.500Z hello",
        "2026-01-31T13:00:00.500+01:00 hello",
        "2026-01-31 07:00:00.500-0500 hello",
        "7:M 31 Jan 2026 12:00:00.500 * Ready",
    ],
)
def test_each_kind_of_time_is_understood(text: str) -> None:
    assert loglines.time_of(text) == NOON


def test_nginx_times_have_whole_seconds() -> None:
    assert loglines.time_of("2026/01/31 12:00:00 [error] 7#7: x") == NOON.replace(microsecond=0)


@pytest.mark.parametrize("text", ["", "hello", "{broken", '{"event": "x"}', "[]", "9999-99-99 99:99:99 x"])
def test_a_line_without_a_time_has_none(text: str) -> None:
    assert loglines.time_of(text) is None


def test_a_line_without_a_time_belongs_to_the_one_before() -> None:
    lines = loglines.dated("api", ["2026-01-31 12:00:00.500 boom", "  Traceback"])
    assert [line.at for line in lines] == [NOON, NOON]


def test_logs_are_merged_in_the_order_of_time() -> None:
    one = loglines.dated("a", ["2026-01-31 12:00:01 second", "2026-01-31 12:00:03 fourth"])
    two = loglines.dated("b", ["2026-01-31 12:00:00 first", "2026-01-31 12:00:02 third"])
    assert [line.text.split()[-1] for line in loglines.merged([one, two])] == ["first", "second", "third", "fourth"]


def test_since_wants_a_span_or_a_time() -> None:
    with pytest.raises(Failure, match="--since 'yesterday' is not a time"):
        loglines.since_of("yesterday")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-10-25T02:30:00", "00:30"),  # the first of both
        ("2026-10-25T02:30:00+02:00", "00:30"),
        ("2026-10-25T02:30:00+01:00", "01:30"),
        ("2026-10-25T03:30:00", "02:30"),
    ],
)
def test_a_time_of_the_hour_that_comes_twice_misses_no_line(
    text: str, utc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "Europe/Berlin")
        time.tzset()
        found = loglines.since_of(text).astimezone(UTC)
    time.tzset()
    assert f"{found:%H:%M}" == utc


def test_a_span_longer_than_all_time_is_no_time() -> None:
    with pytest.raises(Failure, match="--since '99999999999d' is not a time"):
        loglines.since_of("99999999999d")


def test_a_follower_sees_what_is_added_and_what_comes_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("old\n")
    follower = loglines.Follower(path)
    with path.open("a") as file:
        file.write("one\ntw")
    assert list(follower.new_lines()) == ["one"]
    with path.open("a") as file:
        file.write("o\n")
    path.rename(tmp_path / "a.log.1")
    path.write_text("three\n")
    assert list(follower.new_lines()) == ["two", "three"]
    follower.close()


def test_a_follower_waits_for_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    follower = loglines.Follower(tmp_path / "a.log")
    assert list(follower.new_lines()) == []
    (tmp_path / "a.log").write_text("here\n")
    assert list(follower.new_lines()) == ["here"]
    follower.close()
