"""A clock that is wrong: AWS refuses requests that are signed more than minutes before or after its own time."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from stackhand.aws.diagnosis import Diagnosis, Kind, answer_of, code_of, detail_of, message_of, names_of

CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
UNSURE = frozenset(
    {
        *("AuthFailure", "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "403", "400"),
        *(
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "InvalidToken",
            "ExpiredToken",
            "ExpiredTokenException",
        ),
    }
)
"""Codes that a wrong clock can be the reason of; the date of AWS's response decides."""
MESSAGES = re.compile(
    r"signature not yet current|signature expired|request has expired|too skewed|not within", re.IGNORECASE
)
STAMP = re.compile(r"\b(\d{8}T\d{6})Z")
TOLERATED = timedelta(minutes=4)
"""AWS's limit is five minutes (S3's: fifteen)."""
NOT_YET = re.compile(r"not yet valid", re.IGNORECASE)


def diagnose(error: BaseException) -> Diagnosis | None:
    """Return what is wrong with this machine's clock; None when nothing points to it."""
    asked = _answered(error)
    if "SSLError" in names_of(error) and NOT_YET.search(detail_of(error, "error")):
        sentence = "this machine's clock is wrong, or AWS's certificate is: it is not valid yet"
        return Diagnosis(Kind.CLOCK, sentence, [detail_of(error, "error")], synchronization())
    code, skew = code_of(asked), _skew(asked)
    certain = code in CODES or bool(MESSAGES.search(message_of(asked)))
    if not certain and not (code in UNSURE and skew is not None and abs(skew) > TOLERATED):
        return None
    sentence = "this machine's clock differs from AWS's"
    if skew is not None and abs(skew) > TOLERATED:
        way = "ahead of" if skew > timedelta() else "behind"
        sentence = f"this machine's clock is {_duration(abs(skew))} {way} AWS's"
    return Diagnosis(Kind.CLOCK, sentence, [message_of(asked)], synchronization())


def _answered(error: BaseException) -> BaseException:
    """Return the error that has AWS's answer: that of the request for credentials, where these were asked for."""
    cause = error.__cause__
    return cause if cause is not None and answer_of(cause) and not answer_of(error) else error


def _duration(length: timedelta) -> str:
    minutes = round(length.total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"  # noqa: PLR2004 - readable


def _skew(error: BaseException) -> timedelta | None:
    """Return how far our clock is ahead, by the date header of AWS's response, or the times in its message."""
    headers = answer_of(error).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    with suppress(TypeError, ValueError):
        return datetime.now(UTC) - parsedate_to_datetime(headers.get("date"))
    stamps = [datetime.strptime(f"{each}+0000", "%Y%m%dT%H%M%S%z") for each in STAMP.findall(message_of(error))]
    return stamps[0] - stamps[-1] if len(stamps) > 1 else None  # ours, then AWS's


def synchronization() -> str:
    """Return the command that sets this machine's clock."""
    command = "sntp -sS time.apple.com" if sys.platform == "darwin" else "timedatectl set-ntp true"
    return f"set the clock: sudo {command}"
