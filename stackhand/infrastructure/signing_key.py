"""The key that signs an environment's images: KMS keeps its private half, and the repository pins its public half.

The file `environments/NAME.pub` decides: with it, only images that its key signed are released. What AWS says
of the key is never enough, for the bucket has Terraform's state, and an alias can be moved.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stackhand.aws import errors
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.system.roots import PROJECT

ALGORITHM = "ECDSA_SHA_256"
UNKNOWN = "NotFoundException"
DENIED = "AccessDeniedException"
DRY_RUN = "DryRunOperationException"
"""What KMS answers to a dry run that would have succeeded."""


def alias(environment: Environment) -> str:
    """Return what the key is called in KMS; `cosign verify --key awskms:///ALIAS` takes it."""
    return f"alias/{environment.prefix}-signing"


def path(environment: Environment) -> Path:
    """Return where the public key is pinned: in the repository, but for a rehearsal, whose key lives for minutes."""
    folder = PROJECT / ".stackhand" / "rehearsal" if environment.emulated else environments.FOLDER
    return folder / f"{environment.name}.pub"


def shown(environment: Environment) -> str:
    """Return the pinned key's path as a person reads it."""
    pinned = path(environment)
    return str(pinned.relative_to(PROJECT)) if pinned.is_relative_to(PROJECT) else str(pinned)


def pinned(environment: Environment) -> ec.EllipticCurvePublicKey | None:
    """Return the key that images must be signed with; none where the repository pins none.

    Raises:
        Failure: the file holds no such key.
    """
    try:
        text = path(environment).read_bytes()
    except FileNotFoundError:
        return None
    try:
        key = serialization.load_pem_public_key(text)
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise Failure(
            f"{shown(environment)} is not the public key of a signing key.",
            evidence=["it holds one ECDSA key on the curve P-256, as PEM"],
            next=f"git checkout {shown(environment)}, or remove it and run ./inv bootstrap -e {environment.name}",
            code=ExitCode.PREFLIGHT,
        )
    return key


def verifies(key: ec.EllipticCurvePublicKey, signature: str, message: bytes) -> bool:
    """Whether the key made a signature, in base64, of a message."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def sign(environment: Environment, message: bytes, *, dry_run: bool = False) -> str:
    """Return the signature of a message, in base64.

    Args:
        environment: whose key it is.
        message: at most 4096 bytes.
        dry_run: only ask whether we may.

    Raises:
        Failure: there is no key, or we may not use it.
    """
    key, name = {"KeyId": alias(environment), "SigningAlgorithm": ALGORITHM}, environment.name
    try:
        more = {"DryRun": True} if dry_run else {}
        answer = environment.client("kms").sign(**key, Message=message, MessageType="RAW", **more)
    except Exception as error:
        if errors.code_of(error) == DRY_RUN:
            return ""
        if errors.code_of(error) != UNKNOWN:
            raise errors.failure(f"The images of {name} cannot be signed", error, ExitCode.PREFLIGHT) from error
        raise _gone(environment) from error
    return base64.b64encode(answer["Signature"]).decode()


def make(environment: Environment) -> list[str]:
    """Have the key, and its public half pinned; return what was done, in words: nothing the second time.

    Raises:
        Failure: the pinned key is another one than KMS has.
    """
    try:
        return _make(environment)
    except Exception as error:
        if errors.code_of(error) == DENIED:
            right = errors.failure("", error).what
            return [f"no signing key: {right} Until somebody who may runs this again, images are not signed"]
        raise


def _make(environment: Environment) -> list[str]:
    kms, file, done = environment.client("kms"), path(environment), []
    there, here = _public(kms, environment), pinned(environment)
    if here is not None:
        _require_same(environment, there, here)
        return []
    if there is None:
        there = _create(kms, environment)
        done.append(f"{alias(environment)} signs its images ($1 a month)")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_pem(there))
    return [*done, f"{shown(environment)} has the key that verifies them: commit it, and unsigned images are refused"]


def _public(kms: Any, environment: Environment) -> ec.EllipticCurvePublicKey | None:
    """Return the public key that KMS has under the alias; none when there is no such key."""
    try:
        der = kms.get_public_key(KeyId=alias(environment))["PublicKey"]
    except Exception as error:
        if errors.code_of(error) == UNKNOWN:
            return None
        raise
    key = serialization.load_der_public_key(der)
    assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 - as it was made
    return key


def _create(kms: Any, environment: Environment) -> ec.EllipticCurvePublicKey:
    # Without the tag Environment, by which the deploy role may change what is its own: it may only sign (github.tf).
    made = kms.create_key(
        KeyUsage="SIGN_VERIFY",
        KeySpec="ECC_NIST_P256",
        Description=f"{environment.prefix}: signs its images",
        Tags=[{"TagKey": "Stack", "TagValue": environment.stack}, {"TagKey": "ManagedBy", "TagValue": "stackhand"}],
    )
    kms.create_alias(AliasName=alias(environment), TargetKeyId=made["KeyMetadata"]["KeyId"])
    key = _public(kms, environment)
    assert key is not None  # noqa: S101 - made above
    return key


def require(environment: Environment, key: ec.EllipticCurvePublicKey) -> None:
    """Refuse to begin what could not be signed with the pinned key in the end.

    Raises:
        Failure: KMS has another key, or none, or we may not sign.
    """
    with errors.as_failure(f"The signing key of {environment.name} cannot be read", ExitCode.PREFLIGHT):
        there = _public(environment.client("kms"), environment)
    _require_same(environment, there, key)
    sign(environment, b"a dry run", dry_run=True)


def _require_same(
    environment: Environment, there: ec.EllipticCurvePublicKey | None, pinned: ec.EllipticCurvePublicKey
) -> None:
    """Refuse a key on AWS that is not the pinned one, or none."""
    if there is None:
        raise _gone(environment)
    if _pem(there) != _pem(pinned):
        file = shown(environment)
        raise Failure(
            f"The signing key of {environment.name} on AWS is not the one that {file} pins.",
            evidence=[
                f"{alias(environment)} is of another key: CloudTrail's UpdateAlias and CreateAlias say who moved it"
            ],
            next=f"have the alias moved back; if the new key is meant: git rm {file}, ./inv bootstrap -e "
            f"{environment.name}, and commit it",
            code=ExitCode.PREFLIGHT,
        )


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _gone(environment: Environment) -> Failure:
    file = shown(environment)
    return Failure(
        f"The signing key of {environment.name} does not exist on AWS, and {file} pins its public half.",
        evidence=[f"KMS has no {alias(environment)}"],
        next=f"have the alias created again if the key is there; else git rm {file}, ./inv bootstrap -e "
        f"{environment.name}, and commit the new key",
        code=ExitCode.PREFLIGHT,
    )
