"""The bucket of an environment: Terraform's state, the lease, the releases. Ours to make: Terraform needs it first."""

from __future__ import annotations

import json
import os
from typing import Any

from stackhand.environments import Environment
from stackhand.failure import ExitCode, Failure

KEPT_VERSIONS_DAYS = 90
BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
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
    client = environment.client("s3")
    if exists(environment):
        if client.get_bucket_versioning(Bucket=environment.bucket).get("Status") != "Enabled":
            raise _unversioned(environment)
        done = []
    else:
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": environment.region}}
        client.create_bucket(Bucket=environment.bucket, **({} if environment.region == "us-east-1" else elsewhere))
        client.put_bucket_versioning(Bucket=environment.bucket, VersioningConfiguration={"Status": "Enabled"})
        done = [f"bucket {environment.bucket} in {environment.region}", "every version of an object is kept"]
    return [*done, *_settings(environment, client)]


def _settings(environment: Environment, client: Any) -> list[str]:
    bucket, done = environment.bucket, []
    if _ask(client.get_public_access_block, "PublicAccessBlockConfiguration", bucket) != BLOCKED:
        client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=BLOCKED)
        done.append("nobody outside the account can be let in")
    rules = (_ask(client.get_bucket_encryption, "ServerSideEncryptionConfiguration", bucket) or {}).get("Rules", [{}])
    if rules[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") != "aws:kms":
        client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=ENCRYPTION)
        done.append("encrypted with a key of KMS")
    policy = _policy(bucket)
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http:")  # an emulator, which the policy would lock out
    if not plain and json.loads(_ask(client.get_bucket_policy, "Policy", bucket) or "null") != policy:
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        done.append("nothing but TLS is answered")
    if not _ask(client.get_bucket_lifecycle_configuration, "Rules", bucket):
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [_lifecycle()]})
        done.append(f"earlier versions go after {KEPT_VERSIONS_DAYS} days")
    return done


def exists(environment: Environment) -> bool:
    """Return whether the bucket is there.

    Raises:
        Failure: it is, and is somebody else's.
    """
    client = environment.client("s3")
    from botocore.exceptions import ClientError

    try:
        client.head_bucket(Bucket=environment.bucket, ExpectedBucketOwner=environment.account)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:  # noqa: PLR2004 - not there
            return False
        raise Failure(
            f"The bucket {environment.bucket} is not yours to use (S3 answers {status}).",
            evidence=["somebody else has a bucket of that name, or your role may not see it"],
            next=f"look at your role; else change stack in terraform/environments/{environment.name}.tfvars",
            code=ExitCode.PREFLIGHT,
        ) from error
    return True


def _ask(call: Any, key: str, bucket: str) -> Any:
    """Return a setting of the bucket; None when it was never set."""
    from botocore.exceptions import ClientError

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


def _lifecycle() -> dict[str, Any]:
    return {
        "ID": "earlier-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": KEPT_VERSIONS_DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }


def _unversioned(environment: Environment) -> Failure:
    return Failure(
        f"The bucket {environment.bucket} is there already, and forgets earlier versions of an object.",
        evidence=["a state that is overwritten by mistake could not be brought back", "we did not make it so"],
        next="if it is meant for this: aws s3api put-bucket-versioning --versioning-configuration Status=Enabled "
        f"--bucket {environment.bucket}",
        code=ExitCode.PREFLIGHT,
    )
