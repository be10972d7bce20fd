"""What keeps a request from being answered: the network, or a clock that is minutes off AWS's time."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from stackhand.aws.diagnosis import Diagnosis, Kind, answer_of, code_of, detail_of, message_of, names_of

PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
WHERE = ("AWS_ENDPOINT_URL", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_DEFAULTS_MODE")
"""What changes which address a service has."""
REACHED = {
    "ProxyConnectionError": "the proxy {proxy} does not reach AWS",
    "InvalidProxiesConfigError": "the configuration of the proxy is not valid",
    "ConnectTimeoutError": "{host} does not answer",
    "ReadTimeoutError": "{host} does not answer in time",
    "EndpointConnectionError": "{host} cannot be reached",
    "ConnectionClosedError": "{host} closed the connection",
    "ResponseStreamingError": "the answer was cut off",
    "IncompleteReadError": "the answer was cut off",
    "ConnectionError": "{host} cannot be reached",
    "HTTPClientError": "{host} cannot be reached",
}
ADDRESSES = frozenset(
    {
        "BaseEndpointResolverError",
        "EndpointProviderError",
        "InvalidDefaultsMode",
        "InvalidEndpointConfigurationError",
        "InvalidRegionError",
        "InvalidSTSRegionalEndpointsConfigError",
        "InvalidS3UsEast1RegionalEndpointConfigError",
        "ServiceNotInRegionError",
        "UnknownRegionError",
    }
)
"""There is no address to ask: the region, or a setting, is wrong."""


def diagnose(error: BaseException) -> Diagnosis | None:
    """Return why AWS cannot be reached; None when an error is not about that."""
    names = list(names_of(error))
    if "SSLError" in names:
        return _tls(error)
    if name := next((each for each in names if each in REACHED), None):
        return _unreachable(error, name)
    return _no_address(error) if ADDRESSES & set(names) else None


def _no_address(error: BaseException) -> Diagnosis:
    settings = sorted(_set(WHERE), key=lambda each: each.partition("=")[2] not in message_of(error))
    remedy = "correct the region in the environment's file (environments/NAME.tfvars)"
    if settings:
        remedy = f"correct or unset {_name(settings[0])}"
    return Diagnosis(Kind.NETWORK, "there is no such address of AWS", [message_of(error), *settings], remedy)


def _unreachable(error: BaseException, name: str) -> Diagnosis:
    address = detail_of(error, "endpoint_url")
    host = urlsplit(address).netloc or "AWS"
    proxy_url = detail_of(error, "proxy_url")
    overridden, proxy = list(_overridden(address)), _proxy(address, proxy_url)
    if proxy:
        shown, remedy = [proxy], f"correct {_name(proxy)}, or check why its proxy refuses"
    elif overridden:
        shown, remedy = overridden, f"start what answers there, or unset {_name(overridden[0])}"
    else:
        shown = [*_set(PROXIES), "boto3 uses no proxy for it: it reads HTTPS_PROXY and NO_PROXY"]
        remedy = f"check the network (curl -v {address or 'https://sts.amazonaws.com'}), or set HTTPS_PROXY"
    evidence = [each for each in (address, _why(error)) if each]
    return Diagnosis(Kind.NETWORK, REACHED[name].format(host=host, proxy=proxy_url), [*evidence, *shown], remedy)


def _tls(error: BaseException) -> Diagnosis:
    address = detail_of(error, "endpoint_url")
    host, why = urlsplit(address).netloc or "AWS", _why(error)
    set_bundles, proxy = list(_set(BUNDLES)), _proxy(address, "")
    evidence = [why, *set_bundles, *([proxy] if proxy else [])]
    if "certificate verify failed" in why:
        name = _name(next(iter(set_bundles), "SSL_CERT_FILE"))
        bundle = f"use your network's certificate bundle: export {name}=/path/to/bundle.pem"
        return Diagnosis(Kind.NETWORK, f"the certificate that {host} shows is not trusted here", evidence, bundle)
    remedy = f"correct {_name(set_bundles[0])}" if set_bundles else f"check the network (curl -v {address})"
    return Diagnosis(Kind.NETWORK, f"TLS with {host} fails", evidence, remedy)


def _why(error: BaseException) -> str:
    """Return the innermost reason that a request did not get through, without the connection's own name."""
    reason = getattr(error, "kwargs", {}).get("error")
    while isinstance(reason, BaseException) and reason.args and isinstance(reason.args[-1], BaseException):
        reason = reason.args[-1]
    message = " ".join(str(reason or "").split())
    return _masked(re.sub(r"^<?AWSHTTPS?Connection[^:]*: ", "", message))


def _proxy(address: str, known: str) -> str:
    """Return the variable with the proxy that an address is reached by; empty when there is none.

    Args:
        address: of AWS; may be empty.
        known: the proxy that botocore names, with its login masked; may be empty.
    """
    from botocore.utils import get_environ_proxies

    used = get_environ_proxies(address).get(urlsplit(address).scheme, "") if address else ""
    for each in _set(PROXIES):
        _, _, value = each.partition("=")
        if _masked(used) == value or (known and known.rpartition("@")[2].rpartition("//")[2] in value):
            return each
    return ""


def _overridden(address: str) -> Iterator[str]:
    """Yield the variables that send requests to an address."""
    for name in sorted(each for each in os.environ if each.startswith("AWS_ENDPOINT_URL")):
        if os.environ[name] and address.startswith(os.environ[name].rstrip("/")):
            yield f"{name}={os.environ[name]}"


def _set(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if os.environ.get(name):
            yield f"{name}={_masked(os.environ[name])}"


def _name(setting: str) -> str:
    return setting.partition("=")[0]


def _masked(text: str) -> str:
    """Return a text without the login in a proxy's address."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)


CLOCK_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
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
CLOCK_MESSAGES = re.compile(
    r"signature not yet current|signature expired|request has expired|too skewed|not within", re.IGNORECASE
)
STAMP = re.compile(r"\b(\d{8}T\d{6})Z")
TOLERATED = timedelta(minutes=4)
"""AWS's limit is five minutes (S3's: fifteen)."""
NOT_YET = re.compile(r"not yet valid", re.IGNORECASE)


def diagnose_clock(error: BaseException) -> Diagnosis | None:
    """Return what is wrong with this machine's clock; None when nothing points to it."""
    asked = _answered(error)
    if "SSLError" in names_of(error) and NOT_YET.search(detail_of(error, "error")):
        sentence = "this machine's clock is wrong, or AWS's certificate is: it is not valid yet"
        return Diagnosis(Kind.CLOCK, sentence, [detail_of(error, "error")], synchronization())
    code, skew = code_of(asked), _skew(asked)
    certain = code in CLOCK_CODES or bool(CLOCK_MESSAGES.search(message_of(asked)))
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
