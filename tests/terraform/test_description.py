"""What docker-compose.yml must say of the services in the cloud; every mistake is told, with its place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackhand.cli.failure import Failure
from stackhand.infrastructure.services import compose
from tests.checkout import ROOT

SCALE = {"min": 1, "max": 3, "cpu": 60, "memory": 70}
GOOD: dict[str, Any] = {
    "build": "./shop",
    "ports": ["127.0.0.1:${SHOP_PORT:-5000}:5000"],
    "x-health": "/up",
    "x-aws": {
        "port": 5000,
        "paths": ["/shop/*"],
        "cpu": 512,
        "memory": 1024,
        "scale": SCALE,
    },
}


def check(folder: Path, name: str = "shop", **changes: Any) -> list[str]:
    """Check the Compose file with one more service: a good one, with some values of it or of its x-aws changed."""
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    aws = {**GOOD["x-aws"], **{key[4:]: value for key, value in changes.items() if key.startswith("aws_")}}
    others = {key.replace("_", "-"): value for key, value in changes.items() if not key.startswith("aws_")}
    service = {key: value for key, value in {**GOOD, "x-aws": aws, **others}.items() if value is not None}
    document["services"][name] = service
    (folder / "docker-compose.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    shutil.copy2(ROOT / ".env.example", folder / ".env.example")
    try:
        compose.check(folder)
    except Failure as failure:
        return [failure.what, *failure.evidence]
    return []


def test_the_compose_file_of_this_repository_is_fit_for_the_cloud() -> None:
    assert set(compose.check(ROOT).services) >= {"web", "api", "postgres", "redis"}


def test_one_more_service_is_fit_too(tmp_path: Path) -> None:
    assert check(tmp_path) == []
    assert (
        check(
            tmp_path,
            environment={"KEY": "${PAYMENT_KEY:?ask}", "URL": "redis://:key-${PAYMENT_KEY:?}@redis:6379"},
            aws_needs=["redis"],
        )
        == []
    )


CLEARED = "AWS cannot clear the image's value; set it or remove the key"
GIVEN = "is a secret, and on AWS only values of environment can be secret"
NOWHERE = ".x-aws.probe.version: /shop/v is routed to web; x-aws.paths define the routes to shop"
RDS = {"managed": "rds", "class": "db.t4g.micro"}
AURORA = {"managed": "rds", "class": "serverless"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aws_cpu": 300}, ".x-aws.cpu must be one of 256, 512, 1024, 2048, 4096, not 300"),
        ({"aws_memory": 512}, ".x-aws.memory must be 1024 to 4096 in steps of 1024 with 512 CPU units, not 512"),
        ({"aws_scale": {**SCALE, "min": 4}}, ".x-aws.scale: min must be 1 or more, and max no less"),
        ({"aws_scale": {**SCALE, "cpu": 600}}, ".x-aws.scale.cpu must be percent, 1 to 100"),
        ({"x_health": None}, ": a service with x-aws.paths needs x-health, which the load balancer checks"),
        ({"aws_needs": ["web"]}, ".x-aws.needs: web has no x-aws.managed"),
        (
            {"environment": {"URL": "redis://redis:6379"}, "aws_needs": []},
            ".x-aws.needs must have redis, because environment.URL uses it",
        ),
        ({"aws_paths": ["/version"]}, ".x-aws.paths: /version already belongs to api"),
        ({"aws_paths": ["/a*b"]}, ".x-aws.paths: '/a*b' must be a path such as /docs/*, with a star only at its end"),
        (
            {"aws_probe": {"path": "/health/all"}},
            ".x-aws.probe.path: /health/all is routed to api; x-aws.paths define the routes to shop",
        ),
        ({"aws_probe": {"version": "/shop/v"}, "aws_paths": []}, NOWHERE),
        ({"entrypoint": ""}, f".entrypoint: {CLEARED}"),
        ({"entrypoint": []}, f".entrypoint: {CLEARED}"),
        ({"command": " "}, f".command: {CLEARED}"),
        ({"command": ["serve", "${POSTGRES_PASSWORD}"]}, f".command: POSTGRES_PASSWORD {GIVEN}"),
        ({"x_aws": {**RDS, "class": "t4g.micro"}}, ".x-aws.class must start with db., or be serverless"),
        ({"x_aws": {**RDS, "storage": 5}}, ".x-aws.storage must be 20 GiB or more"),
        ({"x_aws": {**RDS, "capacity": {}}}, ".x-aws.capacity is for class: serverless, not db.t4g.micro"),
        ({"x_aws": {**AURORA, "storage": 20}}, ".x-aws.storage must be left out: Aurora's grows by itself"),
        ({"x_aws": {**AURORA, "capacity": {"max": 0.5}}}, ".x-aws.capacity: min must be 0 to max, and max 1 to 256"),
        ({"x_aws": {**AURORA, "capacity": {"min": 5}}}, ".x-aws.capacity: min must be 0 to max, and max 1 to 256"),
        ({"x_aws": {**AURORA, "capacity": {"min": 0.7}}}, ".x-aws.capacity: min and max must be in steps of 0.5"),
        ({"x_aws": {**AURORA, "capacity": {"pause": 60}}}, ".x-aws.capacity.pause must be 300 to 86400 seconds"),
        (
            {"x_aws": {"managed": "elasticache", "class": "serverless", "capacity": {}}},
            ".x-aws.capacity is for databases; storage is the most that a cache holds, in GB",
        ),
        (
            {"x_aws": {"managed": "elasticache", "class": "serverless", "storage": 9000}},
            ".x-aws.storage must be 1 to 5000 GB",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_invalid_key_is_reported_with_its_path(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    found = check(tmp_path, **changes)
    assert found == ["docker-compose.yml has 1 mistake for the cloud.", f"services.shop{said}"]


EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")


def test_a_secret_that_only_the_cloud_was_given_is_not_missed_here(folder: Path) -> None:
    shutil.copy2(ROOT / "docker-compose.yml", folder)
    (folder / ".env.example").write_text(f"{EXAMPLE}\n\n# type: secret given required\nSTRIPE_KEY=\n", encoding="utf-8")
    text = (folder / "docker-compose.yml").read_text(encoding="utf-8")
    edited = text.replace("LOG_LEVEL: ", "STRIPE_KEY: ${STRIPE_KEY:?ask}\n      LOG_LEVEL: ", 1)
    (folder / "docker-compose.yml").write_text(edited, encoding="utf-8")
    assert compose.check(folder).services["api"].environment["STRIPE_KEY"] == "known in the cloud"


def test_a_database_of_aws_has_no_given_password(folder: Path) -> None:
    shutil.copy2(ROOT / "docker-compose.yml", folder)
    given = EXAMPLE.replace("secret generated\nREDIS_PASSWORD", "secret given\nREDIS_PASSWORD")
    (folder / ".env.example").write_text(given, encoding="utf-8")
    with pytest.raises(Failure) as caught:
        compose.check(folder)
    assert caught.value.evidence[0] == (
        "services.redis.environment.REDIS_PASSWORD, services.redis.environment.REDISCLI_AUTH: "
        "on AWS Terraform generates this password: "
        "REDIS_PASSWORD must be 'secret generated'"
    )


@pytest.mark.parametrize("name", ["my_shop", "shop-2", "a", "shop_of-" + 20 * "x"])
def test_a_name_of_compose_with_underscores_is_one_on_aws(tmp_path: Path, name: str) -> None:
    assert check(tmp_path, name=name) == []


@pytest.mark.parametrize("name", ["Shop", "2shop", "my__shop", "my--shop", "my_-shop", "shop_", "shop-", "_shop", "a."])
def test_a_name_that_aws_has_not_is_refused(tmp_path: Path, name: str) -> None:
    assert check(tmp_path, name=name)[1] == (
        f"services.{name}: on AWS, a name has lower-case letters and digits, a letter first, "
        "and single hyphens or underscores between them"
    )


@pytest.mark.parametrize(
    ("image", "name", "longest"),
    [(None, 29 * "x", 28), ("redis:7", 29 * "x", 28), ("postgres:16", 21 * "x", 20)],
    ids=["service", "cache", "database"],
)
def test_a_name_that_is_too_long_for_aws_is_refused_with_its_limit(
    tmp_path: Path, image: str | None, name: str, longest: int
) -> None:
    ours = {"image": image, "build": None, "x_health": None, "x_aws": {}} if image else {}
    assert check(tmp_path, name=name[1:], **ours) == []
    assert check(tmp_path, name=name, **ours)[1:] == [
        f"services.{name}: on AWS, the name must have at most {longest} characters, not {len(name)}"
    ]


def test_all_invalid_keys_are_reported_together(tmp_path: Path) -> None:
    found = check(tmp_path, aws_cpu=1, aws_paths=["/*"], x_health=None)
    assert found[0] == "docker-compose.yml has 3 mistakes for the cloud."
    assert len(found) == 4


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "services.shop.x-aws" in check(tmp_path, aws_cpus=1)[0]
    assert "services.shop.x-aws.probe.path must be a path" in check(tmp_path, aws_probe={"path": "up"})[0]


def test_a_service_of_a_profile_is_checked_like_any_other(tmp_path: Path) -> None:
    assert check(tmp_path, profiles=["extra"]) == []
