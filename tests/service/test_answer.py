"""A JSON answer and its encoding."""

from __future__ import annotations

import hashlib
import time

import pytest

from service.answer import Answer, decode, encode, make_answer

ANSWER = Answer(b'{"a":"\n\n"}', '"' + hashlib.sha256(b'{"a":"\n\n"}').hexdigest()[:32] + '"', 1_700_000_000.125)


def test_answer_is_compact_unescaped_json() -> None:
    assert make_answer({"a": ["ü", 1.5], "b": None}).body == '{"a":["ü",1.5],"b":null}'.encode()


def test_answer_has_its_creation_time() -> None:
    before = time.time()
    answer = make_answer({})
    assert before <= answer.made_at <= time.time()
    assert not answer.stale


def test_etag_is_short_and_quoted() -> None:
    answer = make_answer({})
    assert answer.etag == '"' + hashlib.sha256(b"{}").hexdigest()[:32] + '"'


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_answer_rejects_nan_and_infinity(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_answer({"a": number})


@pytest.mark.parametrize("key", ["k", "history:db:24h", "ü", ""])
def test_answer_survives_encoding(key: str) -> None:
    assert decode(key, encode(key, ANSWER)) == ANSWER


def test_encoding_format_is_fixed() -> None:
    digest = hashlib.sha256(b'k\n1700000000.125\n{"a":"\n\n"}').hexdigest()
    assert encode("k", ANSWER) == f'stackhand-answer/1 {digest}\nk\n1700000000.125\n{{"a":"\n\n"}}'.encode()


def test_decoding_rejects_the_answer_of_another_key() -> None:
    assert decode("j", encode("k", ANSWER)) is None


def test_decoding_rejects_truncated_answers() -> None:
    whole = encode("k", ANSWER)
    assert {decode("k", whole[:length]) for length in range(len(whole))} == {None}
    assert decode("k", whole + b" ") is None


def test_decoding_rejects_any_changed_byte() -> None:
    whole = encode("k", ANSWER)
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    assert {decode("k", value) for value in changed} == {None}
