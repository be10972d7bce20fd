"""Each application adopts Stackhand, goes up, is used and tested, and lets go of Stackhand without a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.checkout import eventually
from tests.engines import COMPOSE, use
from tests.projects.application import Application, application

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PROMISED = [
    ".github/workflows/stackhand.yml",
    ".gitignore",
    "compose.stackhand.yaml",
    "environments/staging.tfvars",
    "inv",
    "stackhand.lock",
]
"""All that git shows of a project that has adopted Stackhand."""


@dataclass(frozen=True)
class Tour:
    """What is expected of an application.

    Args:
        name: its folder.
        use: asks it what it is for.
        log: a service, and what its log says then.
        tests: the command of its own suite.
        public: the service that the load balancer leads to.
        jobs: services that run to their end.
        folder: where its Compose file lies.
        without: what else it says of the services when it runs without containers; None where it cannot.
        pinned: whether its own ./inv runs the verbs, which installs what stackhand.lock has.
    """

    name: str
    use: Callable[[Application], None]
    log: tuple[str, str]
    tests: str
    public: str
    jobs: tuple[str, ...] = ()
    folder: str = "."
    without: Callable[[Application], None] | None = None
    pinned: bool = False


def _order(app: Application) -> None:
    assert "applied 001_orders.sql" in app.stackhand("db.migrate").out
    assert '"item":"tea"' in app.ask("/orders", {"item": "tea"})
    eventually(lambda: '"shipped":true' in app.ask("/orders"), "the worker ships the order")


def _order_and_restore(app: Application) -> None:
    _order(app)
    assert "tea" in app.stackhand("db.shell", stdin="SELECT item FROM orders").out
    app.stackhand("db.snapshot", "before")
    app.stackhand("db.shell", stdin="DELETE FROM orders")
    app.stackhand("db.restore", "before", "--yes")
    assert '"item":"tea"' in app.ask("/orders")


def _read_a_book(app: Application) -> None:
    app.ask("/books/", title="Short", text="four words and done")
    eventually(lambda: '"words": 4' in app.ask("/books/"), "the worker counts the words")
    assert "books_book" in app.stackhand("db.shell", stdin=r"\dt").out
    assert "PONG" in app.stackhand("cache.shell", stdin="PING").out


def _sign(app: Application) -> None:
    app.ask("/", name="Ada")
    assert "<li>Ada</li>" in app.ask("/")
    assert "Ada" in app.stackhand("db.shell", stdin="SELECT name FROM entries").out


def _shorten(app: Application) -> None:
    assert '"key":"1"' in app.ask("/links", url="https://example.com/a")
    assert "/" in app.stackhand("shell", "short", stdin="pwd\n").out


def _forecast(app: Application) -> None:
    assert app.ask("/api/forecast?city=Oslo") == '{"city":"Oslo","degrees":4}'
    assert "Weather" in app.ask("/")


def _order_without_containers(app: Application) -> None:
    app.their("npm", "ci", "--no-fund")
    overlay = app.root / "compose.stackhand.yaml"
    before = overlay.read_text(encoding="utf-8")
    assert before.count("    # x-embedded: {command: node src/") == 2, before  # which lack their packages, until now
    overlay.write_text(before.replace("    # x-embedded", "    x-embedded"), encoding="utf-8")
    states = _up(app, "embedded")
    assert states == dict.fromkeys(("db", "redis", "web", "worker"), "healthy")
    _order(app)
    assert "shipped order 1" in app.stackhand("logs", "worker").out
    overlay.write_text(before, encoding="utf-8")


def _forecast_without_containers(app: Application) -> None:
    up = app.stackhand("up", "--engine", "embedded", "--json").json
    assert [(each["name"], each["state"]) for each in up["services"]] == [("api", "healthy")]
    assert up["unsupported"] == ["web"]
    assert "api listening on" in app.stackhand("logs", "api").out


TOURS = [
    Tour(
        "express",
        _order_and_restore,
        ("worker", "shipped order 1"),
        "make test",
        "web",
        without=_order_without_containers,
    ),
    Tour(
        "django",
        _read_a_book,
        ("worker", "books.tasks.count_words"),
        "docker compose exec -T web python manage.py test",
        "web",
        ("migrate",),
    ),
    Tour("flask", _sign, ("app", "Listening at"), "docker compose exec -T app python -m unittest", "app"),
    Tour(
        "go", _shorten, ("short", "listening on :8080"), "docker build --quiet --target build .", "short", pinned=True
    ),
    Tour(
        "monorepo",
        _forecast,
        ("api", "api listening on 4000"),
        "docker compose exec -T api npm test",
        "web",
        folder="deploy",
        without=_forecast_without_containers,
    ),
]


@pytest.mark.parametrize("tour", [pytest.param(each, id=each.name, marks=COMPOSE.marks) for each in TOURS])
def test_a_project_adopts_stackhand_runs_on_its_engines_and_lets_go_of_it(tour: Tour) -> None:
    with use("compose"), application(tour.name, tour.folder) as adopting:
        _adopt(adopting, tour)
        app = replace(adopting, pinned=tour.pinned)
        states = _up(app, "compose")
        assert {name for name, state in states.items() if state == "done"} == set(tour.jobs)
        assert {state for name, state in states.items() if name not in tour.jobs} == {"healthy"}
        tour.use(app)
        service, text = tour.log
        eventually(lambda: text in app.stackhand("logs", service).out, f"{text} in the log of {service}")
        status = app.stackhand("status", "--json").json
        assert (status["status"], {each["name"] for each in status["services"]}) == ("healthy", set(states))
        app.their(*tour.tests.split())
        assert app.changes() == _promised(tour)
        app.stackhand("down", "--volumes", "--yes")
        if tour.without:
            tour.without(app)
            app.stackhand("down", "--volumes", "--yes")
        app.stackhand("remove", "--yes")
        assert app.changes() == []
        assert set(app.git("status", "--porcelain", "--ignored").split()) <= {"!!", "node_modules/"}


def _up(app: Application, engine: str) -> dict[str, str]:
    """Start it, and return the state of each service."""
    return {each["name"]: each["state"] for each in app.stackhand("up", "--engine", engine, "--json").json["services"]}


def _adopt(app: Application, tour: Tour) -> None:
    """Adopt Stackhand, twice; the table is what it says of the services."""
    first = app.stackhand("init", "--yes")
    assert "next: ./inv up" in first.out
    assert any(line.split()[0] == tour.public and "Fargate, public" in line for line in first.out.splitlines() if line)
    assert app.changes() == _promised(tour)
    before = app.contents()
    assert "nothing to do: all files are there" in app.stackhand("init", "--yes").out
    assert app.contents() == before


def _promised(tour: Tour) -> list[str]:
    prefix = "" if tour.folder == "." else f"{tour.folder}/"
    return sorted(each if each.startswith(".github/") else f"{prefix}{each}" for each in PROMISED)
