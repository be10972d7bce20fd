"""The two engines fill in nginx's template alike: in a container, web/start does."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from stackhand.local.engines.embedded.servers import nginx
from tests.checkout import ROOT

TEMPLATE = "<${HOSTS}>\n<${TRUST}>\n<${RESOLVER}>\n<${API_UPSTREAM}>\n"
SERVICE_CONNECT = """127.0.0.1 localhost
127.255.0.1 api
2600:f0f0:0:0:0:0:0:1 api
127.255.0.2 api.example other
"""
"""What it writes into a task's /etc/hosts."""


def start(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run web/start over a template of what both engines compute; it becomes `true` instead of nginx."""
    text = (ROOT / "web" / "start").read_text(encoding="utf-8")
    for place in (
        "/etc/stackhand/nginx.conf.template",
        "/tmp/nginx.conf",
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/ssl",
    ):
        assert place in text
        text = text.replace(place, f"{folder}/{Path(place).name}")
    (folder / "start").write_text(text, encoding="utf-8")
    (folder / "nginx.conf.template").write_text(TEMPLATE, encoding="utf-8")
    (folder / "resolv.conf").write_text("search x\nnameserver fd00::53\nnameserver 192.0.2.53\n", encoding="utf-8")
    (folder / "hosts").write_text(SERVICE_CONNECT, encoding="utf-8")
    names = ("LISTEN", "WEB_ROOT", "RUN", "API_CA", "API_URL", "STACK", "ALLOWED_HOSTS")
    given = {**dict.fromkeys(names, ""), "API_UPSTREAM": "http://api:4000", "PATH": os.environ["PATH"], **environment}
    return subprocess.run(["sh", "start", "true"], cwd=folder, env=given, capture_output=True, text=True, check=False)


def filled(folder: Path, **environment: str) -> list[str]:
    done = start(folder, **environment)
    assert done.returncode == 0, done.stderr
    return [line[1:-1] for line in (folder / "nginx.conf").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("allowed", "good", "bad"),
    [
        ("", [], ["web", "example.org"]),
        ("web,", ["web"], ["web.example.org", "wweb"]),
        (".example.org, shop.test", ["example.org", "a.b.example.org", "shop.test"], ["anexample.org", "shopxtest"]),
        ("web,*", ["web", "any.example"], []),
        ('x"; return 200; #,ok', ["ok"], ["x"]),
    ],
)
def test_the_names_that_are_allowed_are_those_and_no_others(
    tmp_path: Path, allowed: str, good: list[str], bad: list[str]
) -> None:
    pattern = nginx.hosts(allowed)
    assert filled(tmp_path, ALLOWED_HOSTS=allowed)[0] == pattern
    python = re.sub(r"\\Q(.*?)\\E", lambda found: re.escape(found[1]), pattern)  # which PCRE knows, and Python does not
    assert [name for name in [*good, *bad] if name and re.fullmatch(f"({python})", name)] == good


def test_the_first_name_server_is_asked(tmp_path: Path) -> None:
    assert filled(tmp_path)[2] == nginx.resolver(tmp_path / "resolv.conf") == "resolver [fd00::53] valid=5s;"
    assert nginx.resolver(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("http://api:4000", "http://127.255.0.1:4000"),
        ("http://other/x", "http://127.255.0.2/x"),
        ("http://ap:4000", "http://ap:4000"),
        ("http://192.0.2.1:80", "http://192.0.2.1:80"),
    ],
)
def test_a_name_of_service_connect_is_found_although_nginx_asks_dns_alone(
    tmp_path: Path, given: str, found: str
) -> None:
    assert filled(tmp_path, API_UPSTREAM=given)[3] == found


def test_only_plain_http_goes_unverified(tmp_path: Path) -> None:
    own, system = tmp_path / "own.pem", tmp_path / "ssl" / "cert.pem"
    assert filled(tmp_path)[1] == ""
    for api in ("https://api.example", "HTTPS://api.example"):
        done = start(tmp_path, API_UPSTREAM=api)
        assert (done.returncode, f"{api} cannot be verified" in done.stderr) == (1, True)
        done = start(tmp_path, API_UPSTREAM=api, API_CA=str(own))
        assert f"{own} does not exist" in done.stderr
    for path in (own, system):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    trust = 'proxy_ssl_verify on; proxy_ssl_trusted_certificate "{}";'
    assert filled(tmp_path, API_UPSTREAM="https://api.example")[1] == trust.format(system)
    assert filled(tmp_path, API_UPSTREAM="https://api.example", API_CA=str(own))[1] == trust.format(own)
    assert nginx.authorities((str(tmp_path / "none"), str(system))) == system
