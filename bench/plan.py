"""What `./inv plan` costs with 2 services and with 30, beside Terraform's own plan of the same.

    ./inv bench.growth

Terraform runs with the stand-in for its providers where there is one, and its state is in a moto server. Both compare
the same files with an environment in which nothing is yet: 1.4 MB of plan with 30 services.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import yaml

from bench.clock import clock
from stackhand.project import environments
from tests import moto_server, standin
from tests.checkout import Checkout, clean_environment

SERVICES = (2, 30)
ENVIRONMENT = "staging"
WITHIN = 300.0
RUNS = 3


def table() -> str:
    """Measure, and return a table in Markdown."""
    lines = ["| services | ./inv plan, s | bare: plan and show, s | CPU s | bare: CPU s |", "|---|---|---|---|---|"]
    for count in SERVICES:
        with _prepared(count) as (plan, bare):
            plan()  # the first one initialises, and asks Compose
            ours, theirs = zip(*((_used(plan), _used(bare)) for _ in range(RUNS)), strict=True)
        medians = [statistics.median(each[part] for each in runs) for part in (0, 1) for runs in (ours, theirs)]
        lines.append(f"| {count} | {' | '.join(f'{each:.1f}' for each in medians)} |")
    return "\n".join(lines)


def _used(act: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that an act takes, and those of CPU time of the programs that it runs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = clock(act)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextlib.contextmanager
def _prepared(count: int) -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """Give what plans an environment of so many services: our verb, and Terraform alone."""
    folder = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    try:
        with moto_server.serving() as address:
            given = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
            given |= {"AWS_EC2_METADATA_DISABLED": "true", "STACKHAND_TERRAFORM": str(standin.program() or "terraform")}
            checkout = Checkout.make(folder / "shop")
            _add_services(checkout.path / "docker-compose.yml", count)
            _make_bucket(address)
            yield (
                lambda: checkout.inv("plan", "-e", ENVIRONMENT, timeout=WITHIN, **given),
                lambda: _plan(checkout, given),
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _add_services(file: Path, count: int) -> None:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    there = sum("ports" in each and "x-aws" in each for each in document["services"].values())
    for number in range(count - min(there, 2)):
        variables = {"NUMBER": str(number), "API": "http://api:8000"}
        worker = {"image": "busybox:1", "command": ["sleep", "9"], "environment": variables, "x-aws": {}}
        document["services"][f"worker{number}"] = worker
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _make_bucket(address: str) -> None:
    environment = environments.load(ENVIRONMENT)
    client = boto3.client(
        "s3",
        region_name=environment.region,
        endpoint_url=address,
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
    )
    place = {"LocationConstraint": environment.region}
    client.create_bucket(Bucket=environment.bucket, CreateBucketConfiguration=place)


def _plan(checkout: Checkout, given: dict[str, str]) -> None:
    """Let Terraform alone plan what a plan of ours has prepared, and show it as JSON."""
    data = checkout.state / "terraform" / ENVIRONMENT
    variables = (checkout.path / "environments" / f"{ENVIRONMENT}.tfvars", data / "services.tfvars.json")
    environment = {**clean_environment(**given), "TF_DATA_DIR": str(data), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
    for args in (
        ["plan", "-json", f"-out={data / 'bare'}", *(f"-var-file={each}" for each in variables)],
        ["show", "-json", str(data / "bare")],
    ):
        command = [given["STACKHAND_TERRAFORM"], *args]
        subprocess.run(command, cwd=data / "configuration", env=environment, check=True, capture_output=True)
