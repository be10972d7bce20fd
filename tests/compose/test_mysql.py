"""MySQL and MariaDB: a real server in a container, reached with the programs of its image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.database.mysql import CLIENT, MySQL
from stackhand.local.engines.compose.engine import Compose
from stackhand.project.stack import loading
from stackhand.project.state import State
from tests.checkout import docker, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mysql")]
SETTINGS = {
    "MARIADB_DATABASE": "shop",
    "MARIADB_USER": "app",
    "MARIADB_PASSWORD": "of-app",
    "MARIADB_ROOT_PASSWORD_FILE": "/root-password",
}
SCHEMA = """
CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(40), data BLOB);
INSERT INTO item VALUES (1, 'café', x'00ff1a0d');
CREATE TRIGGER loud BEFORE INSERT ON item FOR EACH ROW SET NEW.name = UPPER(NEW.name);
CREATE VIEW names AS SELECT name FROM item;
"""
HOSTILE = "\\! touch /tmp/owned\nsystem touch /tmp/owned\nCREATE TABLE theirs (a INT);\n"


@pytest.fixture(scope="module")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQL]:
    root = tmp_path_factory.mktemp("mysql")
    name = f"stackhand-mysql-{os.getpid()}"
    (root / "password").write_text("of-root\n")
    flags = [word for key, value in SETTINGS.items() for word in ("--env", f"{key}={value}")]
    flags += ["--tmpfs", "/var/lib/mysql", "--volume", f"{root}/password:/root-password:ro"]
    docker("run", "--detach", "--name", name, *flags, "mariadb:11")
    entry = {"image": "mariadb:11", "environment": SETTINGS}
    stack = loading.of(root, {"name": name, "services": {"till": entry}}, "compose.yaml")
    state = State(root)
    state.make()
    engine = Compose(state, stack)
    container: Any = {"State": {"Status": "running"}, "Name": f"/{name}"}
    engine.containers = lambda: {"till": container}  # type: ignore[method-assign] - its labels are those of Compose
    try:
        found = MySQL(engine, stack.services["till"])
        eventually(found.answers, "the server answers")
        yield found
    finally:
        docker("rm", "--force", "--volumes", name)


def sql(mysql: MySQL, statement: str) -> str:
    return mysql.run(CLIENT, "--skip-column-names", f"--execute={statement}")


def test_a_snapshot_comes_back_whole_and_a_hostile_or_broken_one_changes_nothing(mysql: MySQL) -> None:
    sql(mysql, SCHEMA)
    path = mysql.save("good")
    assert path.stat().st_mode & 0o777 == 0o600
    sql(mysql, "DROP VIEW names; DROP TABLE item; CREATE TABLE junk (a INT)")
    mysql.replace(path)
    sql(mysql, "INSERT INTO item VALUES (2, 'x', NULL)")
    rows = sql(mysql, "SELECT HEX(name), HEX(data) FROM item; SELECT COUNT(*) FROM names").splitlines()
    assert rows == [f"{'café'.encode().hex().upper()}\t00FF1A0D", "58\tNULL", "2"]
    for text in (HOSTILE, "CREATE TABLE half (a INT);\nTHIS IS NO SQL;\n"):
        bad = path.with_name("bad.sql")
        bad.write_text(text)
        with pytest.raises(Failure):
            mysql.replace(bad)
    assert sql(mysql, "SHOW TABLES").split() == ["item", "names"]
    assert sql(mysql, "SHOW DATABASES LIKE 'shop%'").split() == ["shop"]
    assert docker("exec", mysql.engine.execute(mysql.service)[-1], "ls", "/tmp").strip() == ""
    assert mysql.statistics().version.startswith(sql(mysql, "SELECT VERSION()").strip())


def test_a_person_is_the_applications_user_and_no_password_is_in_a_command_line(mysql: MySQL) -> None:
    argv, environment = mysql.shell()
    assert "--user=app" in argv
    assert environment["MYSQL_PWD"] == "of-app"
    asroot, environment = mysql.command("mysqldump")
    assert environment["MYSQL_PWD"] == "of-root"  # of the file
    assert not [word for word in (*argv, *asroot) if "of-" in word]
