"""The bucket of an environment: Terraform's state, the lease, the releases. Ours to make: Terraform needs it first."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from stackhand.aws import errors
from stackhand.aws.diagnosis import Kind
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment

KEPT_VERSIONS_DAYS = 90
NOT_THERE = 404
KEEP_VERSIONS = "aws s3api put-bucket-versioning --versioning-configuration Status=Enabled --bucket"
BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
LIFECYCLE = {
    "ID": "earlier-versions",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "NoncurrentVersionExpiration": {"NoncurrentDays": KEPT_VERSIONS_DAYS},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
}
ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}]}


def require(environment: Environment) -> None:
    """Refuse to go on without the bucket.

    Raises:
        Failure: it is not there, or not ours, or forgets versions.
    """
    if not exists(environment):
        raise Failure(
            f"{environment.name} has no bucket for its state yet: {environment.bucket}.",
            next=f"./inv bootstrap -e {environment.name}",
            code=ExitCode.PREFLIGHT,
        )


def make(environment: Environment) -> list[str]:
    """Have the bucket as it has to be; return what was done, in words: nothing the second time.

    Raises:
        Failure: somebody else has a bucket of that name, or it is there and was never versioned.
    """
    name, done = environment.bucket, []
    client = environment.client("s3")
    if exists(environment):
        with errors.as_failure(f"The bucket {name} cannot be inspected"):
            versioning = client.get_bucket_versioning(Bucket=name).get("Status")
        if versioning != "Enabled":
            raise Failure(
                f"The bucket {environment.bucket} already exists, but is not versioned.",
                evidence=["a state overwritten by mistake could not be restored", "Stackhand did not create it"],
                next=f"to use it anyway: {KEEP_VERSIONS} {environment.bucket}",
                code=ExitCode.PREFLIGHT,
            )
    else:
        done = _create(environment, client)
    with errors.as_failure(f"The bucket {name} cannot be inspected", ExitCode.FAILED if done else None):
        lacking = list(_lacking(client, name))
    with errors.as_failure(f"The bucket {name} exists, but some of its settings are missing", ExitCode.FAILED):
        for setting, apply in lacking:
            apply()
            done.append(setting)
    return done


def _create(environment: Environment, client: Any) -> list[str]:
    name = environment.bucket
    place = {"CreateBucketConfiguration": {"LocationConstraint": environment.region}}
    with errors.as_failure(f"The bucket {name} cannot be created"):
        client.create_bucket(Bucket=name, **({} if environment.region == "us-east-1" else place))
    # The next bootstrap would take a bucket that was never versioned for somebody else's.
    repeat = f"{KEEP_VERSIONS} {name} && ./inv bootstrap -e {environment.name}"
    with errors.as_failure(f"The bucket {name} exists, but is not versioned yet", ExitCode.FAILED, repeat=repeat):
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return [f"bucket {name} in {environment.region}", "every version of an object is kept"]


def _lacking(client: Any, bucket: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield each setting that the bucket lacks: its description, and the call that applies it."""
    named = {"Bucket": bucket}
    if _ask(client.get_public_access_block, "PublicAccessBlockConfiguration", bucket) != BLOCKED:
        block = partial(client.put_public_access_block, **named, PublicAccessBlockConfiguration=BLOCKED)
        yield "public access is blocked", block
    rules = (_ask(client.get_bucket_encryption, "ServerSideEncryptionConfiguration", bucket) or {}).get("Rules", [])
    if not any(each.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") == "aws:kms" for each in rules):
        encrypt = partial(client.put_bucket_encryption, **named, ServerSideEncryptionConfiguration=ENCRYPTION)
        yield "encrypted with a KMS key", encrypt
    policy = _policy(bucket)
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http:")  # an emulator, which the policy would lock out
    if not plain and json.loads(_ask(client.get_bucket_policy, "Policy", bucket) or "null") != policy:
        yield "TLS only", partial(client.put_bucket_policy, **named, Policy=json.dumps(policy))
    if not _ask(client.get_bucket_lifecycle_configuration, "Rules", bucket):
        rules = {"Rules": [LIFECYCLE]}
        limit = partial(client.put_bucket_lifecycle_configuration, **named, LifecycleConfiguration=rules)
        yield f"earlier versions are deleted after {KEPT_VERSIONS_DAYS} days", limit


def exists(environment: Environment) -> bool:
    """Return whether the bucket is there.

    Raises:
        Failure: it is, and is somebody else's.
    """
    from stackhand.aws.exceptions import ClientError

    with errors.as_failure(f"The bucket {environment.bucket} cannot be inspected"):
        try:
            environment.client("s3").head_bucket(Bucket=environment.bucket, ExpectedBucketOwner=environment.account)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == NOT_THERE:
                return False
            diagnosis = errors.diagnose(error)
            if diagnosis.kind is not Kind.DENIED:
                raise
            raise Failure(
                f"The bucket {environment.bucket} is not accessible to you (S3 answers {status}).",
                evidence=["somebody else owns a bucket of that name, or your role has no permission (s3:ListBucket)"],
                next=f"{diagnosis.remedy}; else change stack in environments/{environment.name}.tfvars",
                code=ExitCode.PREFLIGHT,
            ) from error
    return True


def _ask(call: Any, key: str, bucket: str) -> Any:
    """Return a setting of the bucket; None when it was never set."""
    from stackhand.aws.exceptions import ClientError

    try:
        return call(Bucket=bucket)[key]
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith(("NoSuch", "ServerSideEncryptionConfigurationNotFound")):
            raise
        return None


def _policy(bucket: str) -> dict[str, Any]:
    statement = {
        "Sid": "NothingInTheClear",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
