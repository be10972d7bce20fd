"""The one hint of a failure report, and a look from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from stackhand.aws.waiting import Clock
from stackhand.project.stack.probes import Question, Questions
from stackhand.release.ecs import states
from stackhand.release.ecs.states import StoppedTask
from stackhand.release.stages import report
from stackhand.release.stages.probe import ProbeAnswer, ReleaseProbe
from stackhand.release.verdict import DeploymentRequest

ESSENTIAL = "Essential container in task exited"


@pytest.mark.parametrize(
    ("reason", "code", "hint"),
    [
        ("CannotPullContainerError: manifest unknown", None, "the image cannot be pulled"),
        (
            "ResourceInitializationError: unable to pull secrets: AccessDeniedException: ssm:GetParameters",
            None,
            "a secret cannot be read",
        ),
        ("OutOfMemoryError: Container killed due to memory usage", 137, "it ran out of memory"),
        (ESSENTIAL, 137, "exit code 137"),
        ("Task failed ELB health checks in (target-group x)", None, "it runs but does not pass its health check"),
        ("Task failed container health checks", None, "it runs but does not pass the healthcheck of its Compose file"),
        ("exec /app: exec format error", 1, "the image is for another processor"),
        (ESSENTIAL, 3, "exit code 3: its log shows why"),
        ("RESOURCE:MEMORY", None, "AWS has no capacity"),
        ("Scaling activity initiated by deployment", 0, ""),
    ],
)
def test_the_hint_names_the_one_thing_to_look_at(reason: str, code: int | None, hint: str) -> None:
    found = report.hint([StoppedTask("1", "", reason, (("api", code, ""),))], [])
    assert found.startswith(hint)
    assert bool(found) == bool(hint)


def test_only_tasks_of_this_deployment_are_told_of() -> None:
    order = DeploymentRequest("ecs-svc/2", "td/api:8")
    assert states.started_for({"startedBy": "ecs-svc/2", "taskDefinitionArn": "td/api:8"}, order)
    assert not states.started_for({"startedBy": "ecs-svc/1", "taskDefinitionArn": "td/api:8"}, order)
    assert states.started_for({"startedBy": "shop-api", "taskDefinitionArn": "td/api:8"}, order)
    assert not states.started_for({"startedBy": "shop-api", "taskDefinitionArn": "td/api:7"}, order)


@dataclass
class Site:
    """Something that answers as it is told to, one answer after the other, and the last one again and again."""

    health: list[ProbeAnswer]
    version: list[ProbeAnswer] = field(default_factory=lambda: [ProbeAnswer(200, {"commit": "new"}, 0.1)])

    def get(self, url: str, _cap: float) -> ProbeAnswer:
        answers = self.version if url.endswith("/version") else self.health
        return answers.pop(0) if len(answers) > 1 else answers[0]


class NoClock(Clock):
    """Time that passes at once."""

    time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


QUESTIONS = Questions((Question("api", "/health/all"), Question("api", "/version", commit=True)))
FAILED = "/health/all: 503, status fail (db refused)"
GOOD = ProbeAnswer(200, {"status": "pass"}, 0.1)
BAD = ProbeAnswer(503, {"status": "fail", "checks": {"db": [{"status": "fail", "output": "refused"}]}}, 0.1)


@pytest.mark.parametrize(
    ("site", "problems"),
    [
        (Site([GOOD]), []),
        (Site([ProbeAnswer(200, {"status": "warn"}, 0.1)]), []),
        (Site([GOOD, GOOD, BAD, GOOD]), []),
        (Site([BAD]), [FAILED]),
        (Site([GOOD, BAD] * 40), [FAILED, "after that only 1 good answers in a row, not 3"]),
        (Site([ProbeAnswer(0, {}, 2.0, "no answer: timed out")]), ["/health/all: no answer: timed out"]),
        (Site([ProbeAnswer(200, {"status": "pass"}, 3.0)]), ["/health/all: took more than 2 s"]),
        (Site([GOOD], [ProbeAnswer(200, {"commit": "old"}, 0.1)]), ["/version: says commit old, not new"]),
        (Site([GOOD], [ProbeAnswer(404, {}, 0.1)]), ["/version: 404"]),
        (Site([GOOD], [ProbeAnswer(200, {}, 0.1)]), ["/version: its JSON has no commit"]),
        (Site([ProbeAnswer(200, {"status": "ok"}, 0.1, type="application/json")]), []),
        (
            Site([ProbeAnswer(200, {"status": "fail"}, 0.1, type="application/health+json")]),
            ["/health/all: 200, status fail"],
        ),
    ],
    ids=[
        "good",
        "without cache",
        "comes round",
        "bad",
        "flaps",
        "silent",
        "slow",
        "old",
        "nothing",
        "no commit",
        "theirs",
        "unwell",
    ],
)
def test_archimedes_1544_a_release_answers_well_several_times_in_a_row(site: Site, problems: list[str]) -> None:
    said: list[Any] = []
    probe = ReleaseProbe("http://x", "new", QUESTIONS, times=3, timeout=10.0)
    assert probe.run(NoClock(), said.append, site.get) == problems
