"""What the tests of a release share: moto for what is only kept there, and an ECS of our own for what happens."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import moto.core.models
import pytest

from stackhand.aws.session import session
from stackhand.aws.waiting import Clock
from stackhand.cli.failure import Failure
from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment
from stackhand.release import lease
from stackhand.release.context import Context, Timing
from tests import moto_server
from tests.cloud import fake_ecs
from tests.cloud.fake_ecs import World
from tests.cloud.fake_rollout import ACCOUNT, CLUSTER, REGION, Outcome
from tests.cloud.fake_server import serving
from tests.cloud.strict import Strict

SERVICES = ("web", "api")
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
_numbers = itertools.count(1)
BILL = f"sha256:{'5' * 64}"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class TurnedClock(Clock):
    """A clock that turns a world's instead of waiting."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.interrupt_when: Callable[[], bool] = lambda: False

    def now(self) -> float:
        return self.world.now

    def sleep(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.interrupted = self.interrupt_when()
        self.check()


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of a moto server."""
    with moto_server.serving() as address:
        yield address


@dataclass
class Cloud:
    """An environment in a cloud of our own.

    Args:
        environment: as the product sees it.
        world: its ECS.
        context: to run a stage in.
        said: what the stages told.
        output: Terraform's.
        settings: of the process environment that leads there.
    """

    environment: Environment
    world: World
    context: Context
    said: list[str]
    output: dict[str, Any]
    settings: dict[str, str]
    _looks: int = -1
    _images: dict[str, dict[str, str]] = field(default_factory=dict)

    def image(self, commit: str, **outcome: Any) -> dict[str, str]:
        """Have the images of a commit as a deploy leaves them, say what happens to them, and return their digests."""
        if commit in self._images:
            return self._images[commit]
        layer = {"digest": "sha256:" + (commit.encode().hex() * 64)[:64], "size": 1, "mediaType": "layer"}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer]})
        found = {}
        for name in SERVICES:
            put = {
                "repositoryName": _repository(self.environment.stack, name),
                "imageManifest": manifest,
                "imageTag": commit,
            }
            found[name] = _pushed(self.environment, put)
            self.world.outcomes[found[name]] = Outcome(**{"version": commit, **outcome})
        self._images[commit] = found
        built = {"sbom": BILL, "by": "the test", "at": "2026-11-24T08:00:00Z"}
        record = {"commit": commit, "images": {name: {"id": digest, **built} for name, digest in found.items()}}
        self.context.store.write(f"releases/images/{commit}.json", record)
        return found

    def watched(self) -> bool:
        """Whether somebody looked at the services since this was asked before."""
        looks = [name for name, _ in self.world.calls].count("DescribeServices")
        before, self._looks = self._looks, looks
        return looks > before >= 0

    @property
    def clock(self) -> TurnedClock:
        assert isinstance(self.context.clock, TurnedClock)
        return self.context.clock


def _pushed(environment: Environment, put: dict[str, str]) -> str:
    """Push an image, unless another test has; return its digest."""
    ecr = environment.client("ecr")
    try:
        return str(ecr.put_image(**put)["image"]["imageId"]["imageDigest"])
    except ecr.exceptions.ImageAlreadyExistsException:
        ids = [{"imageTag": put["imageTag"]}]
        found = ecr.describe_images(repositoryName=put["repositoryName"], imageIds=ids)
        return str(found["imageDetails"][0]["imageDigest"])


@pytest.fixture(autouse=True)
def aws_is_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse each request that AWS would, and moto would not."""
    monkeypatch.setattr("botocore.validate.ParamValidator", Strict)


@pytest.fixture
def aws_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for AWS's two files, and a shell with nothing of AWS in it but them."""
    for name in os.environ:
        if name.startswith(("AWS_", "GITHUB_")) or name.upper().endswith(("_PROXY", "CA_BUNDLE", "SSL_CERT_FILE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    session.cache_clear()
    yield tmp_path
    session.cache_clear()


@pytest.fixture
def tick() -> float:
    """Seconds that pass in ECS with each question."""
    return 0.0


@pytest.fixture(scope="session")
def network(moto: str) -> tuple[str, str]:
    """A subnet and a security group of what Terraform would have made, once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in _settings(moto).items():
            patch.setenv(key, value)
        return _furnish(Environment("staging", "shop", REGION, ACCOUNT))


@pytest.fixture
def cloud(moto: str, network: tuple[str, str], tick: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An environment with two services that run, a bucket of its own, and nothing released to it yet."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    world = World(tick)
    with serving(world) as address:
        settings = {
            **_settings(moto),
            "AWS_ENDPOINT_URL_ECS": address,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": address,
            "STACK": f"shop{next(_numbers)}",
        }
        for key, value in settings.items():
            monkeypatch.setenv(key, value)
        environment = Environment("staging", settings["STACK"], REGION, ACCOUNT)
        place = {"LocationConstraint": REGION}
        environment.client("s3").create_bucket(Bucket=environment.bucket, CreateBucketConfiguration=place)
        for name in SERVICES:
            repository = _repository(environment.stack, name)
            environment.client("ecr").create_repository(repositoryName=repository, imageTagMutability="IMMUTABLE")
            world.create(name, f"{REGISTRY}/{repository}@sha256:{'0' * 64}")
        said: list[str] = []
        context = Context(environment, said.append, said.append, TurnedClock(world), timing=Timing(probe_timeout=4.0))
        yield Cloud(environment, world, context, said, output(address, *network, stack=environment.stack), settings)


@pytest.fixture
def held(cloud: Cloud) -> Cloud:
    """An environment whose lease is ours, and whose bucket fails when a test says so."""
    cloud.context.store = Troubled(cloud.environment)
    holder = lease.LeaseClient(cloud.context.store)
    cloud.context.token = holder.take("tester", "commit", "", 0.0, lambda _: None).token
    return cloud


class Troubled(Store):
    """A bucket that cannot be written at times."""

    trouble: Callable[[str], object] = staticmethod(lambda _key: False)

    def write(self, key: str, content: Mapping[str, Any], *, etag: str | None = None, new: bool = False) -> str:
        if self.trouble(key):
            raise Failure(f"The bucket {self.bucket} cannot be used: AWS refused.")
        return super().write(key, content, etag=etag, new=new)


def _settings(moto: str) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": moto}


def output(url: str, subnet: str, group: str = "sg-1", stack: str = "shop") -> dict[str, Any]:
    """Return Terraform's output `release`."""
    services = {
        name: {
            "service": f"shop-{name}",
            "container": name,
            "repository": {"name": _repository(stack, name), "url": f"{REGISTRY}/{_repository(stack, name)}"},
            "task_definition": fake_ecs.definition(name, "IMAGE"),
            "target_group": None,
            "port": 4000,
            "health_path": "/healthz" if name == "web" else "/health",
            "paths": ["/*"] if name == "web" else ["/health*", "/version"],
            "probe": True if name == "web" else {"path": "/health/all", "version": "/version"},
            "subnets": [subnet],
            "security_groups": [group],
            "log_group": f"/shop/{name}",
            "log_stream_prefix": "ecs",
            "min": 1,
            "max": 3,
            "migrate": ["python", "-m", "service", "migrate"] if name == "api" else None,
        }
        for name in SERVICES
    }
    return {
        "stack": "shop",
        "environment": "staging",
        "region": REGION,
        "account": ACCOUNT,
        "url": url,
        "cluster": CLUSTER,
        "architecture": "X86_64",
        "services": services,
    }


def _repository(stack: str, name: str) -> str:
    return f"{stack}-staging/{name}"


def _furnish(environment: Environment) -> tuple[str, str]:
    """Make what Terraform would have made, and return a subnet and a security group."""
    client = environment.client
    client("ssm").put_parameter(Name="/shop/staging/password", Value="one", Type="SecureString")
    trust = {"Statement": [{"Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}
    client("iam").create_role(RoleName="shop-execution", AssumeRolePolicyDocument=json.dumps(trust))
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    return subnet, ec2.create_security_group(GroupName="api", Description="api", VpcId=vpc)["GroupId"]
