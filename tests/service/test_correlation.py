"""Ids of requests and traces: well formed, or replaced."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http import correlation

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.mark.parametrize(
    ("traceparent", "found"),
    [
        (PARENT, "a" * 32),
        ("01" + PARENT[2:] + "-more", "a" * 32),
        (PARENT + "-more", None),
        ("ff" + PARENT[2:], None),
        (PARENT.replace("a", "0"), None),
        (PARENT.replace("b", "0"), None),
        (PARENT.upper(), None),
        ("", None),
    ],
)
def test_malformed_traceparent_is_skipped(traceparent: str, found: str | None) -> None:
    assert correlation.trace({"HTTP_TRACEPARENT": traceparent}).get("trace_id") == found


@given(st.text(max_size=80))
def test_request_id_is_always_safe_for_headers_and_logs(text: str) -> None:
    found = correlation.request_id({"HTTP_X_REQUEST_ID": text})
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", found)
    assert set(correlation.trace({"HTTP_TRACEPARENT": text, "HTTP_X_AMZN_TRACE_ID": text})) <= {
        "trace_id",
        "amzn_trace_id",
    }


def test_amazon_trace_id_is_logged() -> None:
    given_ = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
    assert correlation.trace({"HTTP_X_AMZN_TRACE_ID": given_}) == {"amzn_trace_id": given_}
    assert correlation.trace({"HTTP_X_AMZN_TRACE_ID": "a\nb"}) == {}
