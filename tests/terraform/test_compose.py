"""What AWS ignores of docker-compose.yml or does otherwise: every key is named, before anything is applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stackhand.infrastructure.services import compose, differences
from stackhand.infrastructure.services.references import Note
from stackhand.project.compose import resolution
from stackhand.project.compose.composekeys import AWS, Level
from stackhand.project.stack import loading
from tests.checkout import ROOT

SCALE = {"min": 1, "max": 1, "cpu": 60, "memory": 70}
HARD = {"read_only": True, "cap_drop": ["ALL"]}
"""What leaves nothing to be hardened, so that nothing is said of it."""


def notes(folder: Path, **keys: Any) -> list[Note]:
    """Return what there is to know of one service with these keys; a database and a mail server are beside it."""
    aws = {"port": 5000, "cpu": 256, "memory": 512, "scale": SCALE, **keys.pop("aws", {})}
    aws = {key: value for key, value in aws.items() if value is not None}
    services = {
        "shop": {"build": "./shop", **HARD, **keys, "x-aws": aws},
        "orders": {"image": "postgres:16", "x-aws": {"managed": "rds", "class": "db.t4g.micro"}},
        "mail": {"image": "mail:1"},
        "queue": {"image": "queue:1", **HARD, "x-aws": {}},
        "mesh": {"image": "mesh:1", "expose": ["8080"], **HARD, "x-aws": {}},
        "site": {"image": "site:1", "expose": ["80"], "x-health": "/up", **HARD, "x-aws": {"paths": ["/*"]}},
    }
    services["shop"] = {key: value for key, value in services["shop"].items() if value is not None}
    document = {"services": services, "volumes": {"data": {}}, "configs": {"proxy": {"file": "./proxy.conf"}}}
    (folder / "docker-compose.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    for name in (".env.example", ".env.shop"):
        (folder / name).write_text("", encoding="utf-8")
    return [each for each in differences.notes(compose.check(folder)) if each.subject != "mail"]


def lines(folder: Path, **keys: Any) -> list[str]:
    return differences.lines(notes(folder, **keys))


HOST = "orders is no host name on AWS; orders:5432 becomes its address, and only under environment"
RDS = "orders becomes its address on RDS"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"security_opt": ["no-new-privileges:true"]}, "security_opt of shop: Fargate has no such options"),
        ({"volumes": ["data:/data"]}, "volumes of data (shop): data written to /data is lost with each task"),
        ({"volumes": ["/data"]}, "volumes of /data (shop): data written to /data is lost with each task"),
        ({"volumes": ["./shop/src:/src:ro"]}, "volumes of ./shop/src (shop): not mounted; the image has only wha"),
        (
            {"volumes": ["./proxy.conf:/etc/proxy.conf"]},
            "volumes of ./proxy.conf (shop): missing; COPY it into an image; it refers to orders",
        ),
        (
            {"volumes": [{"type": "bind", "source": "./proxy.conf", "target": "/x"}]},
            "volumes of ./proxy.conf (shop): missing; ",
        ),
        ({"configs": ["proxy"]}, "configs of proxy (shop): its files are missing; COPY them into the image"),
        ({"environment": {"DB_HOST": "orders"}}, f"environment of DB_HOST (shop): {RDS}"),
        ({"environment": {"DB": "postgres://orders@orders/orders"}}, f"environment of DB (shop): {RDS}"),
        ({"environment": {"API": "http://mesh:9090"}}, "environment of API (shop): mesh answers at port 8080 on AWS"),
        ({"environment": {"DB": "orders:3306"}}, f"environment of DB (shop): {HOST}"),
        ({"environment": {"SMTP_URL": "smtp://mail:25"}}, "environment of SMTP_URL (shop): mail is not on AWS"),
        (
            {"environment": {"Q": "http://queue:80"}},
            "environment of Q (shop): queue is a worker, to which nothing",
        ),
        ({"command": ["serve", "--db=orders:5432"]}, "command of shop: orders is no host name on AWS; "),
        ({"stop_grace_period": "5m"}, "stop_grace_period of shop: Fargate waits at most 120 s, then kills"),
        ({"ulimits": {"nofile": 1, "memlock": 2}}, "ulimits of memlock (shop): Fargate supports only nofile"),
        (
            {"tmpfs": ["/x:size=1m,rw,mode=0700"]},
            "tmpfs of mode=0700 (shop): only the size option is used",
        ),
        ({"volumes": ["~nosuch/x:/x"]}, "volumes of ~nosuch/x (shop): missing; COPY it into an image"),
        ({"cap_add": ["NET_ADMIN", "NET_BIND_SERVICE"]}, "cap_add of NET_ADMIN (shop): Fargate does not grant it"),
        (
            {"restart": "always", "ports": ["127.0.0.1:5000:5000"]},
            "different on AWS: ports, restart (docs/operations.md)",
        ),
        (
            {"read_only": None, "cap_drop": None},
            "shop: a read-only root file system with a /tmp and no capabilities on AWS; x-aws.hardened: false",
        ),
        ({"cap_drop": None, "read_only": False}, "shop: no capabilities on AWS; x-aws.hardened: false turns"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_unsupported_key_is_one_line_with_its_consequence(tmp_path: Path, keys: dict[str, Any], line: str) -> None:
    (tmp_path / "shop" / "src").mkdir(parents=True)
    (tmp_path / "proxy.conf").write_text("upstream { server orders:5432; }", encoding="utf-8")
    found = lines(tmp_path, **keys)
    assert (len(found), found[0][: len(line)]) == (1, line)


@pytest.mark.parametrize(
    "keys",
    [
        {"entrypoint": ["/start"], "command": ["serve"], "working_dir": "/srv", "user": "1000", "init": True},
        {"labels": {"team": "shop"}, "ulimits": {"nofile": 9}, "tmpfs": ["/tmp"], "stop_grace_period": "1m30s"},
        {"read_only": None, "cap_drop": None, "aws": {"hardened": False}},
        {"entrypoint": ["/start"], "command": []},
        {"read_only": False, "cap_drop": [], "cap_add": ["SYS_PTRACE"]},
        {
            "environment": {"API": "http://mesh:8080/x", "MESH_HOST": "mesh", "DB_NAME": "orders"},
            "command": ["serve", "--api=http://mesh:8080"],
        },
    ],
    ids=["program", "limits", "soft", "nothing more", "as written", "addresses"],
)
def test_what_aws_does_as_compose_does_is_not_mentioned(tmp_path: Path, keys: dict[str, Any]) -> None:
    assert lines(tmp_path, **keys) == []


JOB = {"port": None, "scale": None, "schedule": "rate(1 day)"}
NIGHTLY: dict[str, Any] = {"build": None, "image": "nightly:1", "command": ["work"], "aws": JOB}
NO_PROXY = "a job has no Service Connect proxy on AWS, so"


@pytest.mark.parametrize(
    ("keys", "subject", "message"),
    [
        (
            {"environment": {"HOOKS": "a=http://site:80/x"}},
            "environment of HOOKS (shop)",
            (
                "http://site:80 becomes the load balancer's address: there the x-aws.paths of site answer, "
                'and with nat = "none" nothing does'
            ),
        ),
        (
            {"environment": {"SITE": "http://site:8080"}},
            "environment of SITE (shop)",
            "site is no host name in it; under environment, http://site:80 becomes the load balancer's address",
        ),
        (
            {"command": ["work", "http://site:80"]},
            "command of shop",
            "site is no host name in it; under environment, http://site:80 becomes the load balancer's address",
        ),
        (
            {"environment": {"MESH_URL": "http://mesh:8080"}},
            "environment of MESH_URL (shop)",
            "mesh is no host name in it; give it x-aws.paths",
        ),
    ],
    ids=["rewritten", "another port", "command", "without paths"],
)
def test_a_job_that_names_a_service_is_told_how_it_reaches_it(
    tmp_path: Path, keys: dict[str, Any], subject: str, message: str
) -> None:
    assert lines(tmp_path, **{**NIGHTLY, **keys}) == [f"{subject}: {NO_PROXY} {message}"]


def test_each_key_that_is_not_carried_is_named(tmp_path: Path) -> None:
    """Every key that AWS has not, and one that no Compose had when this was written."""
    skipped = {"volumes", "configs", "depends_on"}  # whose values decide, as above
    lost = {key for key, each in AWS.items() if each.level in {Level.DIFFERS, Level.IGNORED}} - skipped
    assert {each.key for each in differences.keys("shop", dict.fromkeys([*lost, "quux"], "x"))} == {*lost, "quux"}


def test_a_service_that_stays_here_is_named(tmp_path: Path) -> None:
    notes(tmp_path)
    assert differences.lines(differences.notes(compose.check(tmp_path))) == ["mail: not on AWS, for lack of x-aws"]


def test_what_stands_in_for_a_container_is_not_set_up_by_it(tmp_path: Path) -> None:
    document = {
        "services": {"shop": {"build": ".", **HARD, "x-aws": {"port": 1, "cpu": 256, "memory": 512, "scale": SCALE}}}
    }
    document["services"]["db"] = {
        "image": "postgres:16",
        "command": ["-c", "max_connections=9"],
        "volumes": ["./init.sql:/docker-entrypoint-initdb.d/init.sql"],
        "x-aws": {"managed": "rds", "class": "db.t4g.micro"},
    }
    (tmp_path / "docker-compose.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    (tmp_path / ".env.example").write_text("", encoding="utf-8")
    found = differences.lines(differences.notes(compose.check(tmp_path)))
    stands_in = "RDS replaces the container; terraform/ configures it"
    assert found == [f"command of db: {stands_in}", f"volumes of db: {stands_in}"]


@pytest.mark.parametrize(
    ("image", "messages"),
    [
        ("postgis/postgis:16-3.4", []),
        ("pgvector/pgvector:pg16", []),
        ("registry.example:5000/postgres:16@sha256:" + "1" * 64, []),
        ("postgres:17-alpine", ["RDS runs PostgreSQL 16, whatever the tag says"]),
        ("postgres", ["RDS runs PostgreSQL 16, whatever the tag says"]),
        ("timescale/timescaledb:2.17-pg16", ["RDS has no TimescaleDB"]),
        ("redis/redis-stack:7", ["ElastiCache has none of the modules of Redis Stack"]),
        ("valkey/valkey:8", []),
    ],
)
def test_what_a_managed_service_has_otherwise_than_its_image_is_named(image: str, messages: list[str]) -> None:
    entry = {"image": image, "x-aws": {}}
    stack = loading.of(ROOT, {"services": {"data": entry}}, "compose.yaml")
    assert [each.message for each in differences._service(stack.services["data"], stack, entry)] == messages


@pytest.mark.parametrize(
    ("image", "more", "messages"),
    [
        ("postgres:16", {}, ["Aurora pauses after 300 s without a connection, and the next one waits about 15 s"]),
        ("postgres:16", {"capacity": {"min": 0.5}}, []),
        (
            "valkey/valkey:8",
            {},
            ["ElastiCache Serverless has cluster mode only: database 0, and no command on keys of several slots"],
        ),
    ],
)
def test_what_clients_of_a_serverless_service_meet_is_named(
    image: str, more: dict[str, Any], messages: list[str]
) -> None:
    entry = {"image": image, "x-aws": {"class": "serverless", **more}}
    stack = loading.of(ROOT, {"services": {"data": entry}}, "compose.yaml")
    assert [each.message for each in differences._service(stack.services["data"], stack, entry)] == messages


def test_this_repository_is_told_calmly() -> None:
    """What it knows is on a few lines, none of which is about lost data or an address that nobody finds."""
    found = differences.lines(differences.notes(compose.check(ROOT)))
    assert [line.partition(" of ")[0].partition(":")[0] for line in found] == [
        "command",
        "pids_limit",
        "security_opt",
        "volumes",
        "environment",
        "environment",
        "different on AWS",
    ]


@pytest.mark.parametrize("example", ["SECRET_KEY=\n", "# A key.\n# type: secret generated\nSECRET_KEY=\n"])
def test_a_checkout_without_env_asks_compose_only_once(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a workflow: a secret that is made up is no new question."""
    (tmp_path / ".stackhand").mkdir()
    (tmp_path / ".env.example").write_text(example, encoding="utf-8")
    shop = {"image": "shop:1", "environment": {"KEY": "${SECRET_KEY:-}", "OTHER": "${OTHER:-}"}}
    (tmp_path / "docker-compose.yml").write_text(yaml.safe_dump({"services": {"shop": shop}}), encoding="utf-8")
    first = compose.stack_of(tmp_path)
    asked: list[object] = []
    original = resolution._config
    monkeypatch.setattr(resolution, "_config", lambda *args: asked.append(args) or original(*args))
    assert compose.stack_of(tmp_path) == first
    assert asked == []
    monkeypatch.setenv("OTHER", "value")
    assert compose.stack_of(tmp_path).services["shop"].environment["OTHER"] == "value"
