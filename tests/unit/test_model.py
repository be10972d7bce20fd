"""docker-compose.yml becomes a Stack; what is wrong in it is told by file, key and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stackhand.cli.failure import Failure
from stackhand.local.engines import health
from stackhand.local.engines.compose.engine import Compose
from stackhand.local.engines.embedded.servers import server_for
from stackhand.project.memory import HealthQuestion
from stackhand.project.stack import loading, model
from stackhand.project.stack.xaws import Capacity, Fargate, Job, Managed, Release, Scale, XAws
from stackhand.project.stack.xfields import Embedded
from stackhand.project.state import State
from tests.checkout import ROOT

VARIABLES = {
    "POSTGRES_PASSWORD": "secret-p",
    "DATABASE_PASSWORD": "secret-d",
    "REDIS_PASSWORD": "secret-r",
    "COMPOSE_PROJECT_NAME": "shop",
}

MIGRATING = """
services:
  shop:
    image: shop
    x-aws: {{port: 80, cpu: 256, memory: 512, scale: {{min: 1, max: 2, cpu: 60, memory: 70}}, release: {}}}
"""


def load(folder: Path, services: str) -> model.Stack:
    (folder / "docker-compose.yml").write_text(services)
    return loading.load(folder, VARIABLES)


def test_the_stack_of_this_checkout_starts_what_is_needed_first() -> None:
    stack = loading.load(ROOT, VARIABLES)
    assert stack.name == "shop"
    assert list(stack.services) == ["postgres", "redis", "migrate", "api", "web"]
    assert [stack.services[name].port for name in stack.services] == [5432, 6379, None, 4000, 3000]


def test_a_service_is_read_with_all_its_fields(tmp_path: Path) -> None:
    stack = load(
        tmp_path,
        """
services:
  shop:
    build: {context: ., dockerfile: shop/Dockerfile}
    command: run --now "two words"
    environment: [LEVEL=high, "PASSWORD=${POSTGRES_PASSWORD}"]
    ports: ["127.0.0.1:${SHOP_PORT:-8000}:80"]
    x-health: /up
    x-embedded: {command: run $$PORT, environment: {EXTRA: 1}, ready: /ready}
    x-aws: {port: 80, cpu: 256, memory: 512, scale: {min: 1, max: 2, cpu: 60, memory: 70}, release: run migrate}
""",
    )
    assert stack.services["shop"] == model.Service(
        name="shop",
        image=None,
        build=model.Build(".", "shop/Dockerfile"),
        command=["run", "--now", "two words"],
        environment={"LEVEL": "high", "PASSWORD": "secret-p"},
        ports=(model.Port(80, 8000),),
        depends_on=(),
        restart="no",
        checked=True,
        job=False,
        health="/up",
        embedded=Embedded(command="run $PORT", environment={"EXTRA": 1}, ready="/ready"),
        aws=Fargate(port=80, cpu=256, memory=512, scale=Scale(1, 2, 60, 70), release="run migrate"),
        kind="web",
    )
    assert stack.services["shop"].migrate == ["run", "migrate"]
    assert stack.services["shop"].build == model.Build(".", "shop/Dockerfile")


@pytest.mark.parametrize(
    ("written", "build"),
    [
        ("shop", model.Build("shop")),
        ("{context: .}", model.Build(".", "Dockerfile", {})),
        (
            "{context: ., args: {LEVEL: High, NONE: , DEBUG: true}}",
            model.Build(".", args={"LEVEL": "High", "DEBUG": "true"}),
        ),
        ("{context: ., args: [POSTGRES_PASSWORD, SHOP]}", model.Build(".", args={"POSTGRES_PASSWORD": "secret-p"})),
    ],
)
def test_a_build_is_a_folder_or_a_mapping(tmp_path: Path, written: str, build: model.Build) -> None:
    assert load(tmp_path, f"services: {{one: {{build: {written}}}}}").services["one"].build == build


@pytest.mark.parametrize(
    ("written", "ports"),
    [
        ("127.0.0.1:8000:80", [model.Port(80, 8000)]),
        ("8000:80/tcp", [model.Port(80, 8000, "")]),
        ("'[::1]:8000:80'", [model.Port(80, 8000, "::1")]),
        ("{target: 80, published: '${shop_port:-8000}'}", [model.Port(80, 8000, "")]),
        ("'80'", [model.Port(80, None, "")]),
        ("8000-8001:80-81", [model.Port(80, 8000, ""), model.Port(81, 8001, "")]),
        ("8000-8010:80", [model.Port(80, None, "")]),
        ("53:53/udp", [model.Port(53, 53, "", "udp")]),
    ],
)
def test_a_port_may_be_anything_that_compose_publishes(tmp_path: Path, written: str, ports: list[model.Port]) -> None:
    text = f"services:\n  one:\n    image: x\n    ports:\n      - {written}\n"
    assert load(tmp_path, text).services["one"].ports == tuple(ports)


@pytest.mark.parametrize(
    ("port", "is_open", "host"),
    [
        (model.Port(80, 8000), False, "127.0.0.1"),
        (model.Port(80, 8000, "::1"), False, "[::1]"),
        (model.Port(80, 8000, ""), True, "127.0.0.1"),
        (model.Port(80, 8000, "0.0.0.0"), True, "127.0.0.1"),
        (model.Port(80, 8000, "192.0.2.7"), True, "192.0.2.7"),
    ],
)
def test_a_port_on_another_address_is_open_to_the_network(port: model.Port, is_open: bool, host: str) -> None:
    assert (port.is_open, port.host) == (is_open, host)


def resolved(services: str) -> model.Stack:
    """Return the stack of services in the form in which Compose resolves them, without the time that takes."""
    return loading.of(ROOT, yaml.safe_load(services), "docker-compose.yml")


WAITING = "\n  two: {image: x, depends_on: {one: {condition: service_completed_successfully}}}"


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ("{image: x, ports: [{target: 80}]}", "web"),
        ("{image: x, ports: [{target: 80}], x-aws: {}}", "web"),
        ("{image: x, expose: [80-90]}", "web"),
        ("{image: x, ports: [{target: 80}], x-aws: {kind: worker}}", "worker"),
        ("{image: x, ports: [{target: 80, protocol: udp}], expose: [81/udp]}", "worker"),
        ("{image: x}", "worker"),
        ("{image: 'postgres:16', ports: [{target: 5432}]}", "managed"),
        ("{image: x, x-embedded: {engine: redis}}", "managed"),
        ("{image: mysql, x-embedded: {command: mysqld}}", "managed"),
        ("{image: redis, x-aws: {port: 6379}}", "web"),
        ("{image: x, ports: [{target: 80}]}" + WAITING, "job"),
        ("{image: x, command: x, x-aws: {release: true}}", "job"),
        ("{image: x, command: x, x-aws: {release: {plan: y}}}", "job"),
        ("{image: x, x-aws: {release: npm run migrate}}", "worker"),
        ("{image: x, ports: [{target: 80}], x-aws: {release: {command: up}}}", "web"),
    ],
)
def test_a_service_is_of_a_kind(entry: str, kind: str) -> None:
    assert resolved(f"services:\n  one: {entry}\n").services["one"].kind == kind


@pytest.mark.parametrize(
    ("entry", "aws"),
    [
        (
            "{image: x, ports: [{target: 5, protocol: udp}, {target: 80}], x-aws: {}}",
            Fargate(80, 256, 512, Scale(1, 3, 60, 70)),
        ),
        (
            "{image: x, ports: [{target: 80}], x-aws: {paths: [/], host: a.example.org}}",
            Fargate(80, scale=Scale(1, 3), paths=["/"], host=["a.example.org"]),
        ),
        ("{image: x, expose: ['80'], x-aws: {port: 81, scale: {min: 5}}}", Fargate(81, scale=Scale(5, 5))),
        ("{image: x, x-aws: {}}", Fargate(kind="worker", scale=Scale(1, 1))),
        ("{image: x, x-aws: {cpu: 512, scale: {max: 2}}}", Fargate(cpu=512, kind="worker", scale=Scale(1, 2))),
        ("{image: x, command: x, x-aws: {}}" + WAITING, Job(release=True)),
        ("{image: x, command: x, x-aws: {kind: job}}", Job(release=True)),
        ("{image: x, command: x, x-aws: {release: {plan: y}}}", Job(release=Release(plan="y"))),
        ("{image: x, command: x, x-aws: {schedule: rate(5 minutes)}}", Job(schedule="rate(5 minutes)")),
        (
            "{image: x, command: x, x-aws: {schedule: 'cron(0 3 ? * MON-FRI *)', timezone: Europe/Rome}}" + WAITING,
            Job(release=True, schedule="cron(0 3 ? * MON-FRI *)", timezone="Europe/Rome"),
        ),
        ("{image: 'postgis/postgis:16', x-aws: {}}", Managed("rds", "db.t4g.micro", 20)),
        ("{image: x, x-aws: {managed: rds, class: db.t4g.small}}", Managed("rds", "db.t4g.small", 20)),
        ("{image: 'valkey/valkey:8', x-aws: {}}", Managed("elasticache", "cache.t4g.micro")),
        (
            "{image: 'postgres:16', x-aws: {class: serverless}}",
            Managed("rds", "serverless", capacity=Capacity(0, 4, 300)),
        ),
        (
            "{image: 'postgres:16', x-aws: {class: serverless, capacity: {min: 0.5, max: 16}}}",
            Managed("rds", "serverless", capacity=Capacity(0.5, 16)),
        ),
        ("{image: 'valkey/valkey:8', x-aws: {class: serverless}}", Managed("elasticache", "serverless")),
        ("{image: x, x-aws: }", None),
    ],
)
def test_each_field_of_x_aws_has_a_default(entry: str, aws: XAws | None) -> None:
    assert resolved(f"services:\n  one: {entry}\n").services["one"].aws == aws


NEEDING = """
services:
  one: {{image: x, {}}}
  db: {{image: postgres, x-aws: {{}}}}
  my-db: {{image: postgres, x-aws: {{}}}}
  cache: {{image: redis, x-aws: {{}}}}
  local: {{image: postgres}}
"""


@pytest.mark.parametrize(
    ("keys", "needs"),
    [
        ("x-aws: {}, depends_on: {cache: {}, local: {}}", ["cache"]),
        ("x-aws: {}, environment: {URL: 'postgres://me@my-db:5432/shop', OTHER: 'local:5432'}", ["my-db"]),
        ("x-aws: {}, environment: {DB: 'db:54321'}", []),
        ("x-aws: {}, depends_on: {cache: {}}, environment: {DB: 'db:5432'}", ["db", "cache"]),
        ("x-aws: {needs: [db]}, depends_on: {cache: {}}", ["db"]),
        ("x-aws: {kind: job}, command: x, depends_on: {cache: {}}", ["cache"]),
    ],
)
def test_a_service_needs_the_managed_ones_that_it_waits_for_or_names(keys: str, needs: list[str]) -> None:
    aws = resolved(NEEDING.format(keys)).services["one"].aws
    assert isinstance(aws, Fargate | Job)
    assert aws.needs == needs


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("x-aws: true", r"x-aws must be a mapping, which may be empty \(\{\}\), not True"),
        ("x-aws: {kind: cron}", r"x-aws\.kind must be one of web, worker, job, managed, not 'cron'"),
        ("x-aws: {kind: web}", r"x-aws\.port must be set, for neither ports nor expose has a TCP port: the service"),
        ("x-aws: {paths: [/]}", r"x-aws\.port must be set, .* is of kind web, because it has x-aws\.paths"),
        ("x-aws: {kind: managed}", r"x-aws\.managed must be rds or elasticache, which the image does not show"),
        (
            "x-aws: {kind: job}",
            r"command must be set, for it is what runs: the service is of kind job, because x-aws\.",
        ),
        (
            "x-aws: {kind: worker, port: 80}",
            r"x-aws\.port must be left out: it is for the kind web, and the service is",
        ),
        ("command: x\n    x-aws: {kind: job, release: up}", r"x-aws\.release must be true or {plan, .* its own"),
        (
            "x-aws: {port: 80, paths: [/], host: Shop}",
            r"x-aws\.host must be a host name in lower-case letters, such as",
        ),
        (
            "x-aws: {port: 80, host: a.example.org}",
            r"x-aws\.host must be set together with paths, for which requests of",
        ),
        ("x-aws: {kind: job, scale: {}}", r"x-aws\.scale must be left out: it is for the kind web or worker, and"),
        *(
            (f"command: x\n    x-aws: {{schedule: '{wrong}'}}", r"x-aws\.schedule must be rate\(NUMBER minutes")
            for wrong in (
                "0 3 * * *",
                "cron(0 3 * * *)",
                "cron(0 3 * * * *)",
                "cron(0 3 ? * ? *)",
                "rate(0 days)",
                "at(2)",
            )
        ),
        (
            "command: x\n    x-aws: {schedule: rate(1 day), timezone: Mars}",
            r"x-aws\.timezone must be a time zone by its",
        ),
        (
            "x-aws: {managed: rds, cpu: 256}",
            r"x-aws\.cpu must be left out: .* of kind managed, because it has x-aws\.m",
        ),
        (
            "image: redis\n    x-aws: {managed: rds}",
            r"x-aws\.managed must be elasticache, because its image is a redis",
        ),
        ("image: mariadb\n    x-aws: {}", r"x-aws: Stackhand runs no mysql on AWS"),
        ("image: mongo\n    x-aws: {managed: rds}", r"x-aws: Stackhand runs no mongodb on AWS"),
    ],
)
def test_a_kind_that_contradicts_the_rest_is_refused_by_name(entry: str, message: str) -> None:
    image = "" if "image" in entry else "image: x\n    "
    with pytest.raises(Failure, match=rf"^docker-compose\.yml: services\.one\.{message}"):
        resolved(f"services:\n  one:\n    {image}{entry}\n")


def test_a_command_may_be_a_list_and_an_environment_may_take_values_from_outside(tmp_path: Path) -> None:
    environment = "[A=1=2, EMPTY=, REDIS_PASSWORD, NONE, HEALTH_TARGETS]"
    text = f"services: {{one: {{image: x, command: [sleep, '5', a b], environment: {environment}}}}}"
    one = load(tmp_path, text).services["one"]
    assert one.command == ["sleep", "5", "a b"]
    assert one.environment == {"A": "1=2", "EMPTY": "", "REDIS_PASSWORD": "secret-r", "HEALTH_TARGETS": ""}


def test_a_stack_without_a_database_says_what_would_make_a_service_one(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        load(tmp_path, "services: {one: {image: x}}").find("redis")
    images = "keydb, redis, redis-stack, redis-stack-server, valkey"
    assert caught.value.what == "docker-compose.yml has no redis."
    assert caught.value.evidence == (
        f"it is recognised by x-embedded: {{engine: redis}}, or by an image named {images}",
    )
    assert caught.value.next == "add x-embedded: {engine: redis} to that service, then ./inv up"
    assert caught.value.code == 3


def test_of_two_databases_the_one_that_the_embedded_engine_runs_comes_first(tmp_path: Path) -> None:
    found = load(tmp_path, "services: {one: {image: redis}, two: {image: x, x-embedded: {engine: redis}}}")
    assert found.find("redis").name == "two"


@pytest.mark.parametrize(
    ("written", "command", "plan", "status"),
    [
        ("node migrate.js", ["node", "migrate.js"], [], []),
        ("{command: node migrate.js}", ["node", "migrate.js"], [], []),
        ("{command: up, plan: list 'not yet', status: list}", ["up"], ["list", "not yet"], ["list"]),
    ],
)
def test_a_migration_is_asked_only_by_commands_of_its_own(
    tmp_path: Path, written: str, command: list[str], plan: list[str], status: list[str]
) -> None:
    service = load(tmp_path, MIGRATING.format(written)).services["shop"]
    assert (service.migrate, service.migration("plan"), service.migration("status")) == (command, plan, status)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{command: up, pending: x}", "x-aws.release: Object contains unknown field `pending`"),
        ("{plan: list}", "x-aws.release: Object missing required field `command`"),
        ("{command: up, timeout: 0}", "x-aws.release.timeout: Expected `int` >= 1"),
        ("{command: up, plan: sh -c 'list}", "x-aws.release.plan must be a command as a shell would split it"),
    ],
)
def test_a_migration_that_is_written_wrong_is_told(tmp_path: Path, written: str, said: str) -> None:
    with pytest.raises(Failure) as found:
        load(tmp_path, MIGRATING.format(written))
    assert said.replace("`", "") in found.value.what


def test_the_older_name_of_a_release_command_is_taken_and_both_names_are_refused(tmp_path: Path) -> None:
    older = MIGRATING.replace("release:", "migrate:")
    assert load(tmp_path, older.format("up")) == load(tmp_path, MIGRATING.format("up"))
    with pytest.raises(Failure, match=r"x-aws\.migrate must be left out: it is the older name of release"):
        load(tmp_path, older.format("up, release: up"))


@pytest.mark.parametrize(
    ("entry", "server"),
    [
        ("image: postgres:16-alpine", "postgres"),
        ("image: registry.example:5000/base/postgres@sha256:0123", "postgres"),
        ("image: postgis/postgis:16-3.4", "postgres"),
        ("image: pgvector/pgvector:pg16", "postgres"),
        ("image: timescale/timescaledb-ha:pg16", "postgres"),
        ("image: prometheuscommunity/postgres-exporter", None),
        ("image: dpage/pgadmin4:8", None),
        ("image: valkey/valkey:8", "redis"),
        ("image: mine:1\n    x-embedded: {engine: postgres}", "postgres"),
        ("image: postgres:16\n    x-embedded: {command: sleep 1}", None),
        ("build: postgres", None),
    ],
)
def test_a_server_is_known_by_its_image(tmp_path: Path, entry: str, server: str | None) -> None:
    stack = load(tmp_path, f"services:\n  one:\n    {entry}\n")
    assert stack.services["one"].server == server
    if server:
        assert stack.find(server).name == "one"
    else:
        with pytest.raises(Failure, match="has no postgres") as found:
            stack.find("postgres")
        assert "add x-embedded: {engine: postgres}" in found.value.next


def test_anchors_and_merges_are_followed(tmp_path: Path) -> None:
    text = "x-base: &base {environment: {A: '1'}}\nservices:\n  one:\n    <<: *base\n    image: x\n"
    assert load(tmp_path, text).services["one"].environment == {"A": "1"}


def test_yaml_is_read_as_compose_does_and_not_as_its_first_version(tmp_path: Path) -> None:
    text = "services: {one: {image: x, environment: {A: yes, B: true, C: 22:22, E: 10m, F: 0.5, G: '2026-01-01'}}}"
    environment = load(tmp_path, text).services["one"].environment
    assert environment == {"A": "yes", "B": "true", "C": "22:22", "E": "10m", "F": "0.5", "G": "2026-01-01"}


def test_health_targets_are_all_other_services_that_can_be_asked() -> None:
    stack = loading.load(ROOT, VARIABLES)
    assert (
        stack.health_targets(["api"], stack.services, lambda service: f"host:{service.port}")
        == "web=http://host:3000/healthz"
    )


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("x-helth: /up", r"services\.one\.x-helth must be one of the known x- keys"),
        ("x-health: up", r"services\.one\.x-health must be a path that starts with /, not 'up'"),
        ("x-health: /up now", r"services\.one\.x-health must be a path without blanks, \* or #"),
        ('x-health: "/up\\n"', r"services\.one\.x-health must be a path without blanks"),
        ("x-health: /up*", r"services\.one\.x-health must be a path without blanks"),
        ("x-embedded: {}", r"services\.one\.x-embedded must be either engine or command"),
        ("x-embedded: {engine: mysql}", r"services\.one\.x-embedded\.engine: Invalid enum value 'mysql'"),
        ("x-embedded: {engine: redis, command: x}", r"services\.one\.x-embedded must be either engine or command"),
        ("x-embedded: {comand: x}", r"services\.one\.x-embedded: Object contains unknown field comand"),
        ("x-embedded: {engine: nginx}", r"services\.one\.x-embedded\.template must be the path"),
        ("x-embedded: {command: x, ready: no}", r"services\.one\.x-embedded\.ready must be a path"),
        ("x-aws: {port: '80'}", r"services\.one\.x-aws\.port: Expected int, got str"),
        ("x-aws: {managed: aurora, class: x}", r"services\.one\.x-aws\.managed: Invalid enum value 'aurora'"),
        ("x-embedded: {command: x, ready: /up}", r"services\.one\.x-embedded\.ready must be set together with ports"),
    ],
)
def test_invalid_field_is_reported_with_its_path(tmp_path: Path, field: str, message: str) -> None:
    with pytest.raises(Failure, match=rf"docker-compose\.yml: {message}"):
        load(tmp_path, f"services:\n  one:\n    image: x\n    {field}\n")


def test_a_key_of_another_tool_is_none_of_ours(tmp_path: Path) -> None:
    assert load(tmp_path, "services: {one: {image: x, x-podman: {a: 1}}}").services["one"].image == "x"


def test_an_unknown_service_lists_the_known_ones() -> None:
    with pytest.raises(Failure) as caught:
        loading.load(ROOT, VARIABLES).service("nginx")
    assert caught.value.evidence == ("known: postgres, redis, migrate, api, web",)
    assert caught.value.what == "There is no service 'nginx' in docker-compose.yml."
    assert caught.value.code == 2


PROFILES = """
services:
  shop: {image: shop, depends_on: {debug: {condition: service_started, required: false}}}
  debug: {image: debug, profiles: [tools]}
"""


def test_a_service_of_a_profile_that_nobody_asks_for_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(load(tmp_path, PROFILES).services) == ["shop"]
    for asked in ("other, tools", "*"):
        monkeypatch.setenv("COMPOSE_PROFILES", asked)
        assert list(load(tmp_path, PROFILES).services) == ["debug", "shop"]


def test_a_health_path_without_a_port_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"services\.mail\.x-health must be set together with ports or expose"):
        load(tmp_path, "services: {mail: {image: mail, x-health: /up}}")


def test_the_environment_wins_over_env_as_in_compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "of the shell")
    found = load(tmp_path, "services: {shop: {image: shop, environment: {PASSWORD: '${POSTGRES_PASSWORD}'}}}")
    assert found.services["shop"].environment == {"PASSWORD": "of the shell"}


def test_only_services_that_run_there_are_asked_for_their_health(tmp_path: Path) -> None:
    given = "services: {a: {image: a, ports: ['80:80'], x-health: /}, b: {image: b, ports: ['81:81'], x-health: /}}"
    found = load(tmp_path, given.replace("'8", "'127.0.0.1:8"))
    assert found.health_targets(["api"], ["b"], lambda other: other.name) == "b=http://b/"


WATCHED = """
services:
  api: {image: x, ports: ["127.0.0.1:80:8000"], x-health: /up}
  status:
    {image: x, ports: ["127.0.0.1:81:4000"], x-health: /health, environment: ["HEALTH_TARGETS=${HEALTH_TARGETS:-}"]}
"""
AGAIN = """
  status-2: {image: x, ports: ["127.0.0.1:82:4000"], x-health: /health, environment: {HEALTH_TARGETS: }}
"""


def test_whoever_asks_for_targets_gets_all_others_by_whatever_name(tmp_path: Path) -> None:
    api, status, second = (
        "api=http://api:8000/up",
        "status=http://status:4000/health",
        "status-2=http://status-2:4000/health",
    )
    given = Compose(State(tmp_path), load(tmp_path, WATCHED)).environment()
    assert given["HEALTH_TARGETS"] == given["HEALTH_TARGETS_STATUS"] == api
    given = Compose(State(tmp_path), load(tmp_path, WATCHED + AGAIN)).environment()
    assert given["HEALTH_TARGETS"] == api  # one value for both: neither may find itself in it
    assert given["HEALTH_TARGETS_STATUS"] == f"{api},{second}"
    assert given["HEALTH_TARGETS_STATUS_2"] == f"{api},{status}"


KINDS = """
services:
  web: {image: x, ports: ["127.0.0.1:80:80"], depends_on: {seed: {condition: service_completed_successfully}}}
  seed: {image: x, restart: on-failure, healthcheck: {test: [CMD, "true"]}}
  once: {image: x}
  worker: {image: x, restart: unless-stopped}
  idle: {image: x, profiles: [off], depends_on: {worker: {condition: service_completed_successfully}}}
"""


def test_a_job_is_what_another_service_waits_for_and_an_end_is_none_to_fear_where_nothing_else_is_asked(
    tmp_path: Path,
) -> None:
    found = load(tmp_path, KINDS).services.values()
    assert [each.name for each in found if each.job] == ["seed"]
    assert {each.name for each in found if each.may_finish} == {"seed", "once"}


@pytest.mark.parametrize(("engine", "port"), [("postgres", 5432), ("redis", 6379)])
def test_a_server_without_a_port_is_told_the_line_to_add_where_it_needs_one(
    tmp_path: Path, engine: str, port: int
) -> None:
    stack = load(tmp_path, f"services: {{my-data: {{image: x, x-embedded: {{engine: {engine}}}}}}}")
    with pytest.raises(Failure, match=r"services\.my-data needs ports") as caught:
        server_for(stack.services["my-data"], stack, State(tmp_path)).program()
    assert f'ports: ["127.0.0.1:${{MY_DATA_PORT:-{port}}}:{port}"]' in caught.value.next
    assert caught.value.code == 3


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("x-stackhand: {test: npm test -- --grep 'two words'}", ("npm", "test", "--", "--grep", "two words")),
        ("x-stackhand: {test: [go, test, ./...]}", ("go", "test", "./...")),
        ("x-stackhand:", ()),
        ("x-stack: &stack {}", ()),
    ],
)
def test_the_project_has_a_test_command(tmp_path: Path, text: str, test: tuple[str, ...]) -> None:
    assert load(tmp_path, f"services: {{shop: {{image: shop}}}}\n{text}\n").test == test


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x-stackhand: {tests: npm test}", "x-stackhand: Object contains unknown field tests"),
        ("x-stackhand: {test: 1}", r"x-stackhand\.test: Expected str"),
        ('x-stackhand: {test: "npm \'test"}', r"x-stackhand\.test must be a command as a shell would split it"),
        ("x-stackand: {test: npm test}", "x-stackand must be called x-stackhand"),
    ],
)
def test_what_is_wrong_about_the_project_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Failure, match=said):
        load(tmp_path, f"services: {{shop: {{image: shop}}}}\n{text}\n")


def test_a_port_that_is_only_exposed_carries_x_health_and_paths(tmp_path: Path) -> None:
    given = "a: {image: a, expose: ['53/udp', '4000-4002'], x-health: /up, x-aws: {paths: [/api/*]}}"
    watcher = "b: {image: b, environment: [HEALTH_TARGETS]}"
    found = load(tmp_path, f"services: {{{given}, {watcher}}}")
    service = found.services["a"]
    assert (service.exposed, service.inner_port, service.kind, service.aws.port) == (4000, 4000, "web", 4000)  # type: ignore[union-attr]
    assert health.question(service) == HealthQuestion("inside", port=4000, path="/up")
    targets = found.health_targets(["b"], found.services, lambda each: f"{each.name}:{each.inner_port}")
    assert targets == "a=http://a:4000/up"


@pytest.mark.parametrize("mode", ["replicated-job", "global-job"])
def test_a_mode_of_jobs_makes_a_job(tmp_path: Path, mode: str) -> None:
    deploy = f"{{mode: {mode}, restart_policy: {{condition: on-failure}}}}"
    found = load(tmp_path, f"services: {{a: {{image: a, command: run, ports: ['1:1'], deploy: {deploy}}}}}").services[
        "a"
    ]
    assert (found.job, found.may_finish, found.kind, found.restart) == (True, True, "job", "on-failure")
