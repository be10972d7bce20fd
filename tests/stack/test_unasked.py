"""Services that nobody can ask: workers and jobs, on both engines. A stack of them alone starts in seconds."""

from __future__ import annotations

import signal

import pytest

from tests.checkout import Checkout

pytestmark = pytest.mark.slow
UNASKED = """
name: ${{COMPOSE_PROJECT_NAME}}
x-service: &service {{image: "python:3.13-alpine", init: true}}
services:
  worker:
    <<: *service
    container_name: ${{COMPOSE_PROJECT_NAME}}-worker
    command: &wait [python, -c, "import time; time.sleep(600)"]
    x-embedded: {{command: *wait}}
  late:
    <<: *service
    container_name: ${{COMPOSE_PROJECT_NAME}}-late
    command: &late [python, -c, "{late}"]
    depends_on: {{seed: {{condition: service_completed_successfully}}}}
    x-embedded: {{command: *late}}
  seed:
    <<: *service
    container_name: ${{COMPOSE_PROJECT_NAME}}-seed
    command: &seed [python, -c, "{seed}"]
    x-embedded: {{command: *seed}}
  nightly:
    <<: *service
    command: &nightly [python, -c, "print('three orders'); raise SystemExit({nightly})"]
    x-embedded: {{command: *nightly}}
    x-aws: {{schedule: rate(1 day)}}
"""


def test_up_and_status_agree_on_what_is_known_of_workers_and_jobs(checkout: Checkout) -> None:
    file = checkout.path / "docker-compose.yml"
    waits = "import time; time.sleep(2.5)"
    file.write_text(UNASKED.format(late="pass", seed=waits, nightly=0))
    said = checkout.inv("up", "--json", timeout=90)  # it waited for the end of the worker, 120 s
    first = {each["name"]: (each["state"], each["answer"]) for each in said.json["services"]}
    done = ("done", "exited with 0")
    assert first == {"seed": done, "late": done, "worker": ("healthy", "running (no health check)")}
    found = checkout.inv("status", "--json").json["services"]
    assert {each["name"]: (each["state"], each["answer"]) for each in found} == first
    assert "is already up" in checkout.inv("up").out
    said = checkout.inv("run", "nightly")
    assert said.out.splitlines()[0] == "three orders"
    assert "nightly: exit code 0" in said.out
    assert checkout.inv("run", "worker", check=False).code == 2
    checkout.kill("worker", signal.SIGSTOP)
    try:
        worker = checkout.services()["worker"]
        assert worker["state"] == "unhealthy"
        assert "its process is stopped by a signal" in worker["answer"]
    finally:
        checkout.kill("worker", signal.SIGCONT)

    file.write_text(UNASKED.format(late="raise SystemExit('no queue')", seed=waits, nightly=3))
    said = checkout.inv("up", check=False, timeout=90)
    assert said.code == 4
    assert "not started: nightly, a job for rate(1 day) on AWS; ./inv run nightly" in said.out
    assert "late stopped while it started" in said.err
    assert "no queue" in said.err
    late = checkout.services()["late"]
    assert (late["state"], late["answer"]) == ("failed", "exited with 1")
    said = checkout.inv("run", "nightly", check=False)
    assert (said.code, said.out) == (1, "three orders\n")
    assert "nightly ended with exit code 3." in said.err

    file.write_text(UNASKED.format(late="print('never')", seed="raise SystemExit('no rows')", nightly=0))
    said = checkout.inv("up", check=False, timeout=90)
    assert said.code == 4
    assert "seed failed (exit" in said.err
    assert "and nothing that waits for it was started" in said.err
    assert "no rows" in said.err
    found = {name: (each["state"], each["answer"]) for name, each in checkout.services().items()}
    assert found["seed"] == ("failed", "exited with 1")
    assert "never" not in checkout.inv("logs", "late").out
