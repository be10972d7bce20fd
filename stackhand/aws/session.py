"""This process's boto3 session, whose every error botocore has a class for; and the versions of SSM parameters."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from functools import cache
from typing import Any

from stackhand.cli import packages

FAILS_FROM = 300
"""Statuses from which an answer is an error."""


@cache
def session() -> Any:
    """Return the session, which reads the description of each service only once."""
    packages.CLOUD.ensure()
    import boto3
    import botocore.session

    core = botocore.session.get_session()
    _trust(core)
    core.register("after-call", _note_service)
    chain = core.get_component("credential_provider")
    chain.providers[:] = [Provider(each) for each in chain.providers]
    return boto3.session.Session(botocore_session=core)


def client(service: str, region: str) -> Any:
    """Return a client that gives up in bounded time; `AWS_ENDPOINT_URL` is honoured."""
    made = session()
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, InvalidConfigError, InvalidEndpointConfigurationError

    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4})
    try:
        return made.client(service, region_name=region, config=config)
    except ValueError as error:  # of a setting, for which botocore has no class
        if isinstance(error, BotoCoreError):
            raise
        if "endpoint" in str(error):
            raise InvalidEndpointConfigurationError(msg=str(error)) from error
        raise InvalidConfigError(error_msg=str(error)) from error


def of_emulator(service: str, region: str, endpoint: str, key: str) -> Any:
    """Return a client of an emulator on this machine, through no proxy; the access key is its secret, too."""
    made = session()
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=30, proxies={})
    keys = {"aws_access_key_id": key, "aws_secret_access_key": key}
    return made.client(service, region_name=region, endpoint_url=endpoint, config=config, **keys)


class Provider:
    """A way to credentials, as botocore's chain has them: what goes wrong there is an error about credentials.

    botocore lets through whatever it meets: a missing file of a token, a program that prints no JSON, AWS's own answer
    to AssumeRole. The last would be taken for AWS's answer to our request, such as "access denied".
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def load(self) -> Any:
        """Return credentials; None when this is not the way to them."""
        with _about_credentials(self._inner.METHOD):
            credentials = self._inner.load()
        return credentials and Credentials(credentials)


class Credentials:
    """Credentials that may be fetched, and renewed, when a request is signed."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get_frozen_credentials(self) -> Any:
        """Return them as they are now."""
        with _about_credentials(self._inner.method):
            return self._inner.get_frozen_credentials()


@contextmanager
def _about_credentials(method: str) -> Iterator[None]:
    """Have every error be one about credentials, unless botocore has a class of its own for it."""
    from botocore.exceptions import BotoCoreError, CredentialRetrievalError

    try:
        yield
    except BotoCoreError:
        raise
    except Exception as error:
        raise CredentialRetrievalError(provider=method, error_msg=str(error) or type(error).__name__) from error


def _trust(core: Any) -> None:
    """Trust the certificates that SSL_CERT_FILE names, as everything else here does; AWS's own variable wins."""
    bundle = os.environ.get("SSL_CERT_FILE")
    if bundle and not os.environ.get("REQUESTS_CA_BUNDLE") and not core.get_config_variable("ca_bundle"):
        core.set_config_variable("ca_bundle", bundle)


def _note_service(http_response: Any, parsed: dict[str, Any], model: Any, **_: Any) -> None:
    """Record the service of an error: the operation alone does not identify the missing permission."""
    if http_response.status_code >= FAILS_FROM:
        parsed.setdefault("ResponseMetadata", {})["Service"] = model.service_model.signing_name


BATCH = 10
"""As many as GetParameters takes at once."""


def parameter_versions(ssm: Any, names: list[str]) -> dict[str, str]:
    """Return the versions of the parameters there are; never their values, which are not asked to be decrypted.

    With its time: a parameter that was removed and created again has version 1 again, and another value.
    """
    numbers = {}
    for start in range(0, len(names), BATCH):
        answer = ssm.get_parameters(Names=names[start : start + BATCH], WithDecryption=False)
        numbers.update({each["Name"]: _version(each) for each in answer["Parameters"]})
    return numbers


def _version(parameter: Mapping[str, Any]) -> str:
    """Return the version and its time in UTC; botocore tells it in the time zone of the machine that asks."""
    return f"{parameter['Version']} of {parameter['LastModifiedDate'].astimezone(UTC)}"
