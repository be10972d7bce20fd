"""Why AWS cannot be reached: no way, a proxy, TLS, or an address that leads nowhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from stackhand.aws.diagnosis import Diagnosis, Kind, detail_of, message_of, names_of

PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
WHERE = ("AWS_ENDPOINT_URL", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_DEFAULTS_MODE")
"""What changes which address a service has."""
REACHED = {
    "ProxyConnectionError": "the proxy does not let AWS be reached",
    "InvalidProxiesConfigError": "the configuration of the proxy is not valid",
    "ConnectTimeoutError": "{host} does not answer",
    "ReadTimeoutError": "{host} does not answer in time",
    "EndpointConnectionError": "{host} cannot be reached",
    "ConnectionClosedError": "{host} closed the connection",
    "ResponseStreamingError": "the answer broke off",
    "IncompleteReadError": "the answer broke off",
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
    if found := next((each for each in names if each in REACHED), None):
        return _unreachable(error, found)
    if ADDRESSES & set(names):
        settings = list(_set(WHERE))
        remedy = f"correct or unset {settings[0].partition('=')[0]}" if settings else "correct the region"
        where = "" if settings else " in the environment's file (terraform/environments)"
        return Diagnosis(
            Kind.NETWORK, "there is no such address of AWS", [message_of(error), *settings], f"{remedy}{where}"
        )
    return None


def _unreachable(error: BaseException, name: str) -> Diagnosis:
    address = detail_of(error, "endpoint_url")
    host = urlsplit(address).netloc or "AWS"
    why = detail_of(error, "error")
    evidence = [each for each in (address, _masked(why)) if each]
    proxies, overridden = list(_set(PROXIES)), list(_overridden(address))
    if overridden:
        remedy = f"start what answers there, or unset {overridden[0].partition('=')[0]}"
    elif proxies:
        remedy = f"correct {proxies[0].partition('=')[0]}, or look why its proxy refuses"
    else:
        remedy = f"look at the network (curl -v {address or 'https://sts.amazonaws.com'}), or set HTTPS_PROXY"
    nothing = [] if overridden or proxies else ["no proxy is set (HTTPS_PROXY)"]
    return Diagnosis(
        Kind.NETWORK, REACHED[name].format(host=host), [*evidence, *overridden, *(proxies or nothing)], remedy
    )


def _tls(error: BaseException) -> Diagnosis:
    host = urlsplit(detail_of(error, "endpoint_url")).netloc or "AWS"
    evidence = [detail_of(error, "error"), *_set(BUNDLES), *_set(PROXIES)]
    name = next(_set(BUNDLES), "SSL_CERT_FILE").partition("=")[0]
    remedy = f"name your network's bundle of certificates: export {name}=/path/to/bundle.pem"
    return Diagnosis(Kind.NETWORK, f"the certificate that {host} shows is not trusted here", evidence, remedy)


def _overridden(address: str) -> Iterator[str]:
    """Yield the variables that send requests to an address."""
    for name in sorted(each for each in os.environ if each.startswith("AWS_ENDPOINT_URL")):
        if os.environ[name] and address.startswith(os.environ[name].rstrip("/")):
            yield f"{name}={os.environ[name]}"


def _set(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if os.environ.get(name):
            yield f"{name}={_masked(os.environ[name])}"


def _masked(text: str) -> str:
    """Return a text without the login in a proxy's address."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)
