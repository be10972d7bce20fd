"""`./inv check --cloud` in a project: without an account, credentials or Terraform."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.infrastructure import cloud_check
from stackhand.infrastructure.services import services
from stackhand.project.stack import dockerfile, loading
from tests.checkout import ROOT, Said, clean_environment

COMPOSE = """
x-fargate: &fargate {cpu: 256, memory: 512, scale: {min: 1, max: 2, cpu: 60, memory: 70}}
services:
  web:
    image: nginx:alpine
    ports: ["8080:80"]
    tmpfs: [/run]
    x-aws: {<<: *fargate, port: 80, paths: ["/*"]}
  mailer:
    build: ./mailer
    ports: ["8081:9000"]
    volumes: ["./files:/files"]
    environment:
      DATABASE_URL: postgres://shop:hunter22@db:5432/shop
      STRIPE_KEY: ${STRIPE_KEY}
      BROKER: amqp://user:${BROKER_PASSWORD}@broker
      REDIS: redis://cache:6379
      API_KEY: hunter23
      LEVEL:
      HEALTH_TARGETS: ${HEALTH_TARGETS}
      TOKEN: ${TOKEN:?}
      PGPASSWORD: ${DB_PASSWORD:?}
      HEADER: Bearer ${TOKEN:?}
    x-aws: {<<: *fargate, port: 9000, needs: [db, cache]}
  exec:
    build: ./mailer
    command: work --level ${UNSET}
    environment: {DB: "db:5432", CACHE: "cache:6379", CACHE_PASSWORD: "${CACHE_PASSWORD:?}"}
    healthcheck: {disable: true}
    x-aws: {}
  cache:
    image: redis:7
    x-aws: {managed: elasticache, class: cache.t4g.micro}
  db:
    image: postgres:16-alpine
    environment: {POSTGRES_USER: admin, POSTGRES_DB: my-shop, POSTGRES_PASSWORD: "${DB_PASSWORD:?}"}
    x-aws: {managed: rds, class: db.t4g.micro}
"""
GOOD = """
services:
  web:
    build: .
    ports: ["8080:8080"]
    x-health: /up
    x-aws: {port: 8080, paths: ["/*"], cpu: 256, memory: 512, scale: {min: 1, max: 2, cpu: 60, memory: 70}}
  soft: {image: "nginx:alpine", healthcheck: &check {test: [CMD, "true"]}, x-aws: {hardened: false}}
  hard: {image: "nginx:alpine", healthcheck: *check, read_only: true, cap_drop: [ALL], x-aws: {}}
  own: {image: "nginx:alpine", healthcheck: *check, user: "101:101", tmpfs: [/run, /var/cache/nginx], x-aws: {}}
"""
TFVARS = 'stack = "{}"\nenvironment = "staging"\nregion = "eu-west-1"\naccount_id = "{}"\n{}'


def check(project: Path, *words: str) -> Said:
    done = subprocess.run(
        [sys.executable, "-m", "stackhand", "check", "--cloud", "-e", "staging", *words],
        cwd=ROOT,
        env=clean_environment(
            STACKHAND_PROJECT=str(project), PATH="/usr/bin:/bin", AWS_ENDPOINT_URL="http://127.0.0.1:1"
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def write(project: Path, compose: str, tfvars: str, dockerfile: str, folder: str = ".") -> None:
    (project / "compose.yaml").write_text(compose, encoding="utf-8")
    for name in ("environments", folder):
        (project / name).mkdir(exist_ok=True)
    (project / "environments" / "staging.tfvars").write_text(tfvars, encoding="utf-8")
    (project / folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")


def messages(document: Any, level: str) -> list[str]:
    return sorted(f"{each['subject']}: {each['message']}" for each in document["findings"] if each["level"] == level)


def test_everything_that_aws_takes_otherwise_is_named_with_what_to_do(tmp_path: Path) -> None:
    certificate = "arn:aws:acm:eu-west-1:123456789012:certificate/0d7f5e0c-3f4a-4c6e-8d1b-2a9b7c6d5e4f"
    more = f'certificate_arn = "{certificate}"\ngithub_repository = "acme/shop"\nexec = true\n'
    write(tmp_path, COMPOSE, TFVARS.format("aws-shop", "123456789012", more), "FROM python:3.13\n", "mailer")
    other = TFVARS.format("aws-shop", "123456789012", "").replace('"staging"', '"staging-eu"')
    (tmp_path / "environments" / "staging-eu.tfvars").write_text(other, encoding="utf-8")
    said = check(tmp_path, "--json")
    found = said.json
    assert (said.code, found["environment"], found["refused"]) == (3, "staging", True)
    refused = messages(found, "refused")
    assert [each.partition(":")[0] for each in refused] == [
        *["compose.yaml"] * 2,
        *["db"] * 2,
        *["environments/staging.tfvars"] * 5,
        "exec",
        "mailer",
    ]
    for part in (
        "services.web: a service with x-aws.paths needs x-health",
        "DATABASE_URL: the password of db is generated on AWS; write it as a variable that db has too",
        "RDS reserves POSTGRES_USER=admin",
        "RDS refuses POSTGRES_DB=my-shop",
        "account_id has the account of examples",
        "certificate_arn has the account of examples",
        "the deploy role of staging may use aws-shop-staging-*",
        "exec: AWS or Stackhand's Terraform needs another name for it",
        "AWS reserves names that begin with aws",
        "environment.DATABASE_URL has a password for db, and on AWS Terraform generates another one",
    ):
        assert [each for each in refused if part in each], (part, refused)
    differs = messages(found, "differs")
    assert [each.partition(" in ")[0] for each in differs] == [
        "exec: UNSET is empty on AWS",
        "exec: gets no password for db, which has one on AWS that Terraform generates",
        "mailer: BROKER_PASSWORD is empty on AWS",
        "mailer: LEVEL is empty on AWS",
        "mailer: STRIPE_KEY is empty on AWS",
        "mailer: gets no password for cache, which has one on AWS that Terraform generates",
    ]
    advice = messages(found, "advice")
    for part in (
        "TOKEN: only you can provide it",
        "alarms: alarm_email in environments/staging.tfvars is empty",
        "mailer: environment.API_KEY has its password in clear",
        "exec: without a health check on AWS",
        "mailer: without a health check on AWS",
        "mailer: mailer/Dockerfile has no USER other than root",
        "release: nothing is probed from outside",
        "web: root without capabilities may not listen at port 80 on Fargate",
        "mailer: exec = true, and capabilities are dropped",
        "web: nginx:alpine starts as root and changes to another user",
        "web: nginx:alpine writes to /var/cache/nginx, which",
    ):
        assert [each for each in advice if each.startswith(part)], (part, advice)
    assert len([each for each in advice if "in clear" in each]) == 1
    made = ("DB_PASSWORD", "CACHE_PASSWORD")  # with the database and the cache
    assert not [each for each in advice if each.startswith(made)]
    lost = {"level": "ignored", "key": "volumes", "subject": "./files (mailer)"}
    assert [each for each in found["compose"] if lost.items() <= each.items()], found["compose"]
    assert all(each["remedy"] for each in found["findings"])
    assert "hunter22" not in said.out

    shown = check(tmp_path)
    assert shown.code == 3
    assert [line for line in shown.out.splitlines() if line in {"refused", "differs", "advice"}] == [
        "refused",
        "differs",
        "advice",
    ]
    assert "${BROKER_PASSWORD:?} in BROKER, a secret of the environment" in shown.out
    assert "its variable in the URL, and in db: ${DB_PASSWORD:?})" in shown.out
    assert "volumes of ./files (mailer)" in shown.out


def test_what_aws_takes_ends_with_0_and_the_paths_that_are_probed(tmp_path: Path) -> None:
    tfvars = TFVARS.format("shop", "210987654321", 'alarm_email = "a@b.org"\n')
    write(
        tmp_path, GOOD, tfvars, "FROM python:3.13 AS base\nUSER 1000\nFROM base AS production\nFROM base\nUSER root\n"
    )
    said = check(tmp_path)
    assert said.code == 0, said
    assert "probed after the rollout: /up (web) for 200" in said.out
    assert "advice" not in said.out


@pytest.mark.parametrize(
    ("text", "base", "user"),
    [
        ("FROM node:24\nUSER node\n", "node:24", "node"),
        ("ARG TAG=1\nFROM --platform=linux/amd64 nginx:${TAG}\nRUN a \\\n  USER b\n", "nginx:2", ""),
        ("# FROM x\nFROM a AS b\nUSER 1\nFROM scratch\nFROM b\n", "a", "1"),
        ("from go AS build\nUSER root\nFROM scratch AS Production\nFROM c\n", "scratch", ""),
    ],
)
def test_a_dockerfile_says_what_is_released_and_as_whom(tmp_path: Path, text: str, base: str, user: str) -> None:
    (tmp_path / "compose.yaml").write_text("services: {shop: {build: {context: ., args: {TAG: 2}}}}")
    (tmp_path / "Dockerfile").write_text(text)
    released = dockerfile.released(loading.load(tmp_path, {}).services["shop"], tmp_path)
    assert released is not None
    assert (released.base, released.user) == (base, user)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('can(regex("^a\\\\.b$", var.text))', False),
        ('!can(regex("z|(y)", var.text))', True),
        ("var.number >= 1 && var.number <= 3", True),
        ("var.number >= 1 && floor(var.number) == var.number", None),
        ("var.number >= 3 && floor(var.number) == var.number", False),
        ('var.none == null || can(regex("x", "${var.none.a}"))', True),
        ('(var.none == null) == (var.text != "text")', False),
        ("contains([1, 2], var.number)", True),
        ("alltrue([for each in var.list : each])", None),
    ],
)
def test_a_rule_of_terraform_is_checked_or_left_to_it(condition: str, holds: bool | None) -> None:
    assert cloud_check.holds(condition, {"text": "text", "number": 2, "none": None}) is holds


def test_an_existing_network_has_no_nat_of_ours() -> None:
    named = {"stack": "shop", "environment": "staging", "region": "eu-west-1", "account_id": "210987654321"}
    given = {**named, "vpc_id": "vpc-0a", "subnets": {"public": [], "private": [], "data": []}, "nat": "none"}
    refusal = "nat is for a network of its own; in an existing one, the private subnets have their way to AWS already."
    assert [*cloud_check.violations(given)] == [("vpc_id", refusal)]
    assert not [*cloud_check.violations({**given, "nat": "single"})]


def test_most_rules_of_terraform_are_understood() -> None:
    rules = cloud_check.RULE.findall(cloud_check.VARIABLES.read_text(encoding="utf-8"))
    values = {"stack": "shop", "environment": "staging", "region": "eu-west-1", "account_id": "210987654321"}
    assert len(rules) > 20
    assert not [*cloud_check.violations(values)]
    assert {name for name, _ in cloud_check.violations({**values, "environment": "production"})} == {"certificate_arn"}


def test_a_number_that_only_this_machine_has_is_named_with_the_setting_to_give(tmp_path: Path) -> None:
    check_of_job = '{test: \'true\', retries: $RETRIES, timeout: "${TIMEOUT}", interval: "${EVERY:-5s}"}'
    compose = f"{GOOD}  job: {{image: x, healthcheck: {check_of_job}}}\n"
    tfvars = TFVARS.format("shop", "111122223333", "")
    write(tmp_path, compose, tfvars, "FROM python:3.13\nUSER 1\n")
    (tmp_path / ".env").write_text("RETRIES=3\nTIMEOUT=9s\n", encoding="utf-8")
    lacking = "RETRIES, TIMEOUT from .env of this machine, which does not count on AWS"
    settings = "settings = {{ RETRIES = {}, TIMEOUT = {} }}"
    remedy = f"put {settings.format('…', '…')} into the environment's .tfvars"
    refused = check(tmp_path)
    line = f"✗ compose.yaml: services.job.healthcheck: {lacking} (fix: {remedy})\n"
    assert (refused.code, line in refused.out, refused.out.count("✗")) == (3, True, 1), refused.out
    given = settings.format('"3"', '"9s"')
    write(tmp_path, compose, f"{tfvars}{given}\n", "FROM python:3.13\nUSER 1\n")
    assert messages(check(tmp_path, "--json").json, "refused") == []


def test_many_places_of_one_variable_are_one_line(tmp_path: Path) -> None:
    """Some versions of Compose name all of them."""
    cast = "error while interpolating services.{}.healthcheck.retries: failed to cast to expected type: x"
    failure = Failure("Compose rejects it.", evidence=[cast.format(f"job{number}") for number in range(5)])
    written: Any = {f"job{number}": {"healthcheck": {"retries": "${RETRIES}"}} for number in range(5)}
    [line] = services._empty(tmp_path, failure, written, {}).evidence
    assert line.startswith(
        "services.job0.healthcheck, services.job1.healthcheck, services.job2.healthcheck and 2 more: "
    )
    assert services._empty(tmp_path, failure, written, {"RETRIES": "many"}) is failure


def test_a_refusal_names_its_file_once(tmp_path: Path) -> None:
    write(tmp_path, "services: {db: {image: postgres:16, x-aws: {}}}\n", TFVARS.format("shop", "111122223333", ""), "")
    line = "✗ compose.yaml: No service runs on AWS: no web server and no worker has x-aws (fix: add x-aws: {} to one)\n"
    assert line in check(tmp_path).out
    invalid = 'services: {web: {image: x, volumes: [":/media/"], x-aws: {}}}\n'
    write(tmp_path, invalid, TFVARS.format("shop", "111122223333", ""), "")
    assert "✗ compose.yaml: invalid spec: :/media/: empty section between colons" in check(tmp_path).out
