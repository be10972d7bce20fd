"""What Terraform is told of the services: resolved for an environment, and never with the value of a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.infrastructure import secret_values
from stackhand.infrastructure.services import compose, services, tfvars
from stackhand.infrastructure.terraform import terraform
from stackhand.project.environments import Environment

AWS = "{port: 80, cpu: 256, memory: 512, scale: {min: 1, max: 1, cpu: 60, memory: 70}}"
FILES = {
    "compose.yaml": f"""
include: [more/compose.yaml]
services:
  shop:
    extends: {{file: base.yaml, service: base}}
    command: serve --name "My shop"
    environment:
      API_KEY: ${{API_KEY:-}}
      NESTED: ${{NONE:-${{API_KEY}}}}
      BY_NAME:
      LEVEL: ${{LEVEL:-low}}
      PRICE: 5$$
    stop_grace_period: 1m30s
    x-aws: {AWS}
  laptop: {{image: x, environment: {{KEY: "${{API_KEY}}", NEEDED: "${{ONLY_HERE:?}}"}}}}
""",
    "compose.override.yaml": "services: {shop: {read_only: false}}\n",
    "base.yaml": "services: {base: {image: 'shop:${TAG:-1}', env_file: [.env], labels: {team: shop}}}\n",
    "more/compose.yaml": f"services: {{more: {{image: m, x-aws: {AWS}}}}}\n",
    ".env.example": """# type: secret given
API_KEY=

# type: secret generated
BY_NAME=

# type: secret given
FROM_FILE=

# type: text
LEVEL=low

# type: text
SHOWN=default
""",
    ".env": "API_KEY=value-of-api-key\nBY_NAME=value-by-name\nFROM_FILE=value-from-file\nLEVEL=mine\nSHOWN=mine\n",
}


def write(folder: Path, **more: str) -> Path:
    for name, text in {**FILES, **more}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def written(root: Path, **variables: str) -> dict[str, Any]:
    tfvars.write(root / "services.json", root, variables)
    return dict(json.loads((root / "services.json").read_text(encoding="utf-8")))


def test_no_value_of_a_secret_reaches_terraform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BY_NAME", "value-of-the-shell")
    monkeypatch.setenv("LEVEL", "of-the-shell")
    found = written(write(tmp_path), LEVEL="high", TAG="7")
    text = json.dumps(found)
    assert not [each for each in ("value-", "of-the-shell", "mine") if each in text]
    assert list(found["services"]) == ["more", "shop"]
    shop = found["services"]["shop"]
    secrets = {"API_KEY": "API_KEY", "NESTED": "API_KEY", "BY_NAME": "BY_NAME", "FROM_FILE": "FROM_FILE"}
    assert shop["secrets"] == secrets
    assert shop["environment"] == {"LEVEL": "high", "PRICE": "5$", "SHOWN": "default"}
    assert (shop["image"], shop["command"]) == ("shop:7", ["serve", "--name", "My shop"])
    assert (shop["labels"], shop["read_only"], shop["stop_grace_period"]) == ({"team": "shop"}, False, 90)
    kinds = {"API_KEY": "given", "BY_NAME": "generated", "FROM_FILE": "given", "ONLY_HERE": "required"}
    assert found["secrets"] == kinds
    assert set(compose.check(tmp_path).services) == {"more", "shop", "laptop"}
    (tmp_path / ".env").unlink()  # as in a clone on which nothing was started
    monkeypatch.delenv("BY_NAME")
    monkeypatch.delenv("LEVEL")
    assert written(tmp_path, LEVEL="high", TAG="7") == found


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({'"My shop"': "${API_KEY}"}, "command: API_KEY is a secret, and on AWS only values of environment can be"),
        (
            {"# type: text\nSHOWN=default": ""},
            "env_file: .env of this machine does not count on AWS; put settings = { SHOWN",
        ),
    ],
)
def test_a_secret_outside_the_environment_is_refused_by_name(
    tmp_path: Path, change: dict[str, str], problem: str
) -> None:
    files = {}
    for name in ("compose.yaml", ".env.example"):
        files[name] = FILES[name]
        for old, new in change.items():
            files[name] = files[name].replace(old, new)
    with pytest.raises(Failure) as caught:
        compose.check(write(tmp_path, **files))
    assert [line.startswith(f"services.shop.{problem}") for line in caught.value.evidence] == [True]


def test_an_example_without_types_has_secrets_by_name_and_else_an_environment_says_it(tmp_path: Path) -> None:
    text = (
        "services: {shop: {image: x, env_file: .env, environment: {OWN: 1, URL: '${STRIPE_KEY}'}, x-aws: " + AWS + "}}"
    )
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / ".env.example").write_text("LEVEL=\nOWN=\nSECRET_KEY=\nSTRIPE_KEY=\n")
    for made in (False, True):
        if made:
            (tmp_path / ".env").write_text("LEVEL=mine\nOWN=mine\nSECRET_KEY=x\nSTRIPE_KEY=x\n")
        with pytest.raises(Failure) as caught:
            compose.check(tmp_path)
        (line,) = caught.value.evidence
        assert line.endswith("does not count on AWS; put settings = { LEVEL = … } into the environment's .tfvars")
        assert compose.check(tmp_path, {"LEVEL": "high"})
        found = written(tmp_path, LEVEL="high")
        assert found["secrets"] == {"SECRET_KEY": "generated", "STRIPE_KEY": "given"}
        service = found["services"]["shop"]
        assert (service["environment"], service["secrets"]) == (
            {"OWN": "1", "LEVEL": "high"},
            {"SECRET_KEY": "SECRET_KEY", "STRIPE_KEY": "STRIPE_KEY", "URL": "STRIPE_KEY"},
        )


def test_a_service_is_built_as_the_one_whose_image_it_runs(tmp_path: Path) -> None:
    text = (
        "name: shop\nservices:\n"
        "  web: {build: ., image: 'library:latest', ports: ['80'], x-aws: {}}\n"
        "  worker: {image: library, x-aws: {}}\n"
        "  api: {build: ./api, x-aws: {}}\n"
        "  cron: {image: shop-api, x-aws: {}}\n"
        "  other: {image: redis-exporter, x-aws: {}}\n"
    )
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    services = written(tmp_path)["services"]
    assert {name for name, each in services.items() if each.get("build")} == {"web", "worker", "api", "cron"}
    builds = {name: each.build for name, each in compose.stack_of(tmp_path).services.items()}
    assert builds["worker"] == builds["web"] != builds["api"] == builds["cron"]


DATABASE = """
services:
  app:
    image: app
    environment: {{PGPASSWORD: "${{DB_PASSWORD:-shop}}"}}
    x-aws: {aws}
  db: {{image: "postgres:16", environment: ["POSTGRES_PASSWORD=${{DB_PASSWORD:-shop}}"], x-aws: {{}}}}
"""


def test_the_password_of_a_database_is_a_secret_whatever_its_default_also_within_a_url(tmp_path: Path) -> None:
    text = DATABASE.format(aws=AWS)
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    found = written(tmp_path)
    assert found["secrets"] == {"DB_PASSWORD": "required"}
    assert [found["services"][name]["secrets"] for name in ("app", "db")] == [
        {"PGPASSWORD": "DB_PASSWORD"},
        {"POSTGRES_PASSWORD": "DB_PASSWORD"},
    ]
    url = "postgres://shop:${DB_PASSWORD:-shop}@db/shop"
    (tmp_path / "compose.yaml").write_text(text.replace("{PG", f'{{URL: "{url}", PGHOST: db, PG'), encoding="utf-8")
    assert compose.check(tmp_path).services["app"].aws.needs == ["db"]
    app = written(tmp_path)["services"]["app"]
    whole = {"text": "postgres://shop:{DB_PASSWORD}@db:5432/shop", "secrets": ["DB_PASSWORD"]}
    assert (app["composed"], app["hosts"], app["environment"]) == ({"URL": whole}, {"PGHOST": "db"}, {})
    (tmp_path / "compose.yaml").write_text(text.replace("{PG", '{URL: "postgres://shop:shop@db/shop", PG'))
    with pytest.raises(Failure) as caught:
        compose.check(tmp_path)
    assert caught.value.evidence[0].startswith("services.app.environment.URL: the password of db is generated on AWS")


def test_the_password_of_a_cache_is_what_the_urls_to_it_have(tmp_path: Path) -> None:
    text = """services:
  app: {image: app, environment: {REDIS_URL: "redis://:${REDIS_PASSWORD}@cache:6379"}, x-aws: {}}
  cache: {image: "redis:7", command: ["redis-server", "--requirepass", "${REDIS_PASSWORD}"], x-aws: {}}
"""
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    found = written(tmp_path)
    assert found["services"]["cache"]["secrets"] == {"PASSWORD": "REDIS_PASSWORD"}
    assert secret_values.kinds(tmp_path) == {"REDIS_PASSWORD": "generated"}


def test_the_password_of_a_database_is_a_whole_value_and_no_part_of_another(tmp_path: Path) -> None:
    text = "services:\n  db:\n    image: postgres:16\n    x-aws: {}\n    environment:\n"
    text += '      POSTGRES_INITDB_ARGS: "--set=app.key=${EXTRA:?}"\n'
    text += "  api:\n    image: x\n    x-aws: {}\n    environment:\n      PGPASSWORD: ${DB_PASSWORD:?}\n"
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    assert secret_values.kinds(tmp_path) == {"DB_PASSWORD": "generated"}


def test_an_environment_gives_its_settings_and_what_is_known_of_it() -> None:
    def of(**variables: Any) -> dict[str, str]:
        return services.variables_of(Environment("live", "shop", "eu-west-1", "1", variables))

    given = of(domain="shop.example", settings={"LEVEL": "high", "DEBUG": True, "ALLOWED_HOSTS": "other"})
    assert given == {
        "COMPOSE_PROJECT_NAME": "shop-live",
        "ENVIRONMENT": "live",
        "METRICS_EMF": "1",
        "ALLOWED_HOSTS": "other",
        "LEVEL": "high",
        "DEBUG": "true",
    }
    assert of()["ALLOWED_HOSTS"] == "*"
    assert of(domain="shop.example")["ALLOWED_HOSTS"] == "shop.example"


@pytest.mark.parametrize(("text", "seconds"), [("1m30s", 90), ("500ms", 1), ("2h0m0.5s", 7201), ("10s", 10)])
def test_a_duration_of_compose_is_whole_seconds(text: str, seconds: int) -> None:
    assert tfvars.seconds(text) == seconds


def test_files_that_compose_rejects_keep_nothing_from_being_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terraform, "PROJECT", tmp_path)
    found = terraform.Terraform(Environment("live", "shop", "eu-west-1", "1", {}))
    write(tmp_path)
    planned = found._variables({})
    (tmp_path / "compose.yaml").write_text("services: {shop: {quux: 1}}", encoding="utf-8")
    assert found._variables({}, planned=True) == planned
    with pytest.raises(Failure, match="Compose rejects"):
        found._variables({})
