"""An application with a repository of its own is released from it into an existing network.

Its images, its migrations, its worker, its nightly job.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stackhand.system import roots
from tests import standin
from tests.engines import use
from tests.projects.application import ME, application
from tests.rehearsal.cloud import TERRAFORM, TIMING

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(900)]
PASSWORDS = {
    "postgres://orders@db:5432/orders": "postgres://orders:${POSTGRES_PASSWORD:-orders}@db/orders",
    "      PGPASSWORD: ${POSTGRES_PASSWORD:-orders}\n": "",
    "redis://redis:6379": "redis://:${REDIS_PASSWORD:-orders}@redis",
    "image: redis:7-alpine": "image: redis:7-alpine\n    command: redis-server --requirepass ${REDIS_PASSWORD:-orders}",
}
"""What its Compose file lacks for AWS, written as most write it: URLs with passwords, and without the usual ports."""
NAMES = {
    "@db/": "@orders_db/",
    "@redis": "@order_cache",
    "      db:\n": "      orders_db:\n",
    "      redis:\n": "      order_cache:\n",
    "  db:\n    image": "  orders_db:\n    image",
    "  redis:\n    image": "  order_cache:\n    image",
    "  worker:\n": "  order_worker:\n",
}
"""Its services, with underscores, which load balancers, RDS and ElastiCache do not have in names."""
STEPS = ["done", "done", "done", "done", "done", "rolled back", "done", "no leftovers"]
MORE = """  api:
    extends: {file: compose.yaml, service: web}
    ports: !reset []
    expose: ["3000"]
    x-aws: {}
  nightly:
    build: .
    command: [node, -e, "console.log('three orders')"]
    x-aws: {schedule: rate(1 day)}
"""
NETWORK = """vpc_id = "vpc-0a1"
subnets = {
  public  = ["subnet-0a1", "subnet-0a2"]
  private = ["subnet-0b1", "subnet-0b2"]
  data    = ["subnet-0c1", "subnet-0c2"]
}"""
"""What stands in place of a network of its own, which the rehearsal of the example has, without NAT."""


def test_an_application_is_released_twice_and_a_bad_release_of_it_is_rolled_back(tmp_path: Path) -> None:
    with use("compose"), application("express") as express:
        file = express.root / "compose.yaml"
        text = file.read_text(encoding="utf-8")
        for old, new in (*PASSWORDS.items(), *NAMES.items()):
            assert old in text
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
        express.stackhand("init", "--yes")
        overlay = express.root / "compose.stackhand.yaml"
        overlay.write_text(overlay.read_text(encoding="utf-8").replace("services:\n", f"services:\n{MORE}", 1))
        staging = express.root / "environments" / "staging.tfvars"
        variables = staging.read_text(encoding="utf-8")
        written, count = re.subn(r"^nat +=.*", NETWORK, variables, flags=re.M)
        assert count == 1
        staging.write_text(written, encoding="utf-8")
        express.git("add", "--all")
        express.git(*ME, "commit", "--quiet", "--message", "Adopt Stackhand")
        settings = {roots.VARIABLE: str(express.root), "STACKHAND_TERRAFORM": str(TERRAFORM)}
        settings["STACKHAND_TERRAFORM_STAND_IN"] = str(standin.program() or "")
        settings |= {"STACKHAND_TIMING": f"{TIMING},stay=4", "STACKHAND_TERRAFORM_REPLAY": str(tmp_path)}
        said = express.run("stackhand", "rehearse", timeout=800, **settings).out
        assert express.changes() == []
        created = "".join(path.read_text() for path in (express.root / ".stackhand" / "rehearsal").rglob("*.log"))
    assert "6 subnets in place of vpc-0a1\n" in said
    assert "aws_lb.main" in created
    assert "aws_vpc.main" not in created
    table = said[said.index("step  ") :]
    assert re.findall(r"^\S.*?  +(\S.*?)  +\d+\.\d$", table, re.M)[1:] == STEPS
    assert len(re.findall(r"migrated .* web: exit code 0", said)) == 3
    assert len(re.findall(r"rolled .* api, order_worker, web on ", said)) == 2
    assert re.search(r"\b(api|web|api and web|web and api) failed; ", said), said
    assert "order_worker has connected to what it needs\n" in said
    assert "nightly: exit code 0" in said
    assert re.search(r"the schedule of nightly starts \S+-rehearsal-nightly:\d+$", said, re.M)
