"""An answer, and what it is kept as."""

from __future__ import annotations

import hashlib
import time

import pytest

from service.answer import Answer, decode, encode, make_answer

ANSWER = Answer(b'{"a":"\n\n"}', '"' + hashlib.sha256(b'{"a":"\n\n"}').hexdigest()[:32] + '"', 1_700_000_000.125)


def test_an_answer_is_compact_json_in_the_letters_it_was_given() -> None:
    assert make_answer({"a": ["ü", 1.5], "b": None}).body == '{"a":["ü",1.5],"b":null}'.encode()


def test_an_answer_knows_when_it_was_made_and_how_old_it_is() -> None:
    before = time.time()
    answer = make_answer({})
    assert before <= answer.made_at <= time.time()
    assert 0 <= answer.age <= time.time() - before
    assert Answer(b"", "", time.time() - 60).age == pytest.approx(60, abs=5)
    assert not answer.stale


def test_an_answer_from_a_clock_that_is_ahead_is_not_younger_than_now() -> None:
    assert Answer(b"", "", time.time() + 60).age == 0


def test_the_etag_is_short_and_quoted() -> None:
    answer = make_answer({})
    assert answer.etag == '"' + hashlib.sha256(b"{}").hexdigest()[:32] + '"'


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_answer({"a": number})


@pytest.mark.parametrize("key", ["k", "history:db:24h", "ü", ""])
def test_what_was_kept_is_the_same_afterwards(key: str) -> None:
    assert decode(key, encode(key, ANSWER)) == ANSWER


def test_the_form_does_not_change_unnoticed() -> None:
    digest = hashlib.sha256(b'k\n1700000000.125\n{"a":"\n\n"}').hexdigest()
    assert encode("k", ANSWER) == f'stackhand-answer/1 {digest}\nk\n1700000000.125\n{{"a":"\n\n"}}'.encode()


def test_another_keys_answer_is_none() -> None:
    assert decode("j", encode("k", ANSWER)) is None


def test_no_part_of_an_answer_is_taken_for_one() -> None:
    whole = encode("k", ANSWER)
    assert {decode("k", whole[:length]) for length in range(len(whole))} == {None}
    assert decode("k", whole + b" ") is None


def test_no_changed_byte_goes_unnoticed() -> None:
    whole = encode("k", ANSWER)
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    assert {decode("k", value) for value in changed} == {None}
