"""What is left to the next verb where Ctrl-C has ended one."""

from __future__ import annotations

import os
import signal
import time

import pytest

from stackhand.local.engines.embedded.supervisor import Supervisor
from stackhand.project.state import State
from tests.checkout import Checkout, eventually

pytestmark = pytest.mark.slow

SLOW = """
CREATE ROLE maker; GRANT CREATE ON SCHEMA public TO maker;
CREATE TABLE pause AS SELECT 0 AS seconds; ALTER TABLE pause OWNER TO maker;
CREATE MATERIALIZED VIEW slow AS SELECT pg_sleep(seconds) IS NULL FROM pause; UPDATE pause SET seconds = 60;
"""
AT_WORK = "SELECT 'at ' || 'work' FROM pg_stat_activity WHERE query LIKE 'REFRESH MATERIALIZED VIEW %'"
LEFT = """
SELECT 'left ' || datname FROM pg_database WHERE datname LIKE '%\\_stackhand\\_%';
SELECT 'left ' || rolname FROM pg_roles WHERE rolname = 'maker';
"""


def test_an_interrupted_restore_leaves_neither_database_nor_roles(stack: Checkout) -> None:
    stack.inv("db.shell", stdin=SLOW)
    stack.inv("db.snapshot", "slow")
    stack.inv("db.shell", stdin="DROP TABLE pause CASCADE; DROP OWNED BY maker; DROP ROLE maker")
    child = stack.start("db.restore", "slow", "--yes")
    eventually(lambda: "at work" in stack.superuser(AT_WORK), "the restore is in the middle")
    child.send_signal(signal.SIGINT)  # to it alone, so that the server is not told by pg_restore
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "the previous data is kept as before-restore-" in err
    assert "left " not in stack.inv("db.shell", stdin=LEFT).out


def test_up_waits_for_the_end_of_what_an_interrupted_restart_is_still_stopping(stack: Checkout) -> None:
    supervisor = Supervisor(State(stack.path))
    held = stack.kill("api", signal.SIGSTOP)
    supervisor.call("stopProcess", "api", False)
    assert supervisor.processes()["api"].statename == "STOPPING"
    child = stack.start("up")
    time.sleep(3)  # up finds it so; supervisord would kill it after ten
    os.kill(held, signal.SIGCONT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, out + err
    assert stack.pid("api") != held
