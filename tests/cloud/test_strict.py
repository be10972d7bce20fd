"""Requests that boto3 would send and AWS refuse are refused by the tests' own clients."""

from __future__ import annotations

from typing import Any

import boto3
import pytest


@pytest.mark.parametrize(
    ("service", "operation", "words", "problem"),
    [
        ("ecs", "run_task", {"taskDefinition": "x", "launchType": "FARGAT"}, "launchType is none of"),
        ("ecr", "describe_images", {"repositoryName": "Shop"}, "repositoryName does not have the form"),
        (
            "ecr",
            "describe_images",
            {"repositoryName": "shop", "maxResults": 1001},
            "maxResults has 1001, not 1 to 1000",
        ),
    ],
)
def test_a_request_that_aws_refuses_never_leaves(
    service: str, operation: str, words: dict[str, Any], problem: str
) -> None:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
    client = boto3.client(service, endpoint_url="http://127.0.0.1:1", **keys)
    with pytest.raises(AssertionError, match=problem):
        getattr(client, operation)(**words)
