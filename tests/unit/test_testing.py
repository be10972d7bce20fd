"""A project's own tests as a process; test_wheel.py runs them by the verb."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local import testing
from stackhand.local.engines.status import ServiceStatus
from stackhand.project.stack import loading
from stackhand.project.stack.model import Port, Stack
from tests.checkout import ROOT, clean_environment, eventually

RUN = """
import os, pathlib
from stackhand.local import testing
from stackhand.project.stack.model import Stack
testing._run(Stack("shop", pathlib.Path(), {}, test=("sh", "-c", "echo $$ > pid; exec sleep 60")), os.environ)
"""


def test_services_are_found_by_their_variables(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text('services: {my-api: {image: api, ports: ["4000:80", "9000"]}}')
    api = ServiceStatus("my-api", "healthy", "", "http://127.0.0.1:4000", [4000, 49153])
    api.published.extend([Port(80, 4000), Port(9000, 49153)])
    assert testing.addresses(loading.load(tmp_path, {}), [api, ServiceStatus("worker", "healthy", "")]) == {
        "STACKHAND_PORT_MY_API": "4000",
        "STACKHAND_PORT_MY_API_80": "4000",
        "STACKHAND_PORT_MY_API_9000": "49153",
        "STACKHAND_URL_MY_API": "http://127.0.0.1:4000",
    }


def test_a_program_that_is_not_there_is_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"^no-such-program cannot be run: No such file or directory\.$") as failed:
        testing._run(Stack("shop", tmp_path, {}, test=("no-such-program", "--all")), {})
    assert failed.value.code == ExitCode.PREFLIGHT
    assert failed.value.evidence == ("x-stackhand.test in docker-compose.yml: no-such-program --all",)


def test_an_interruption_reaches_the_tests(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=ROOT,
        env=clean_environment(STACKHAND_PROJECT=str(tmp_path)),
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the tests run")
    child.send_signal(signal.SIGINT)
    assert "The tests were interrupted." in child.communicate(timeout=30)[1]
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
