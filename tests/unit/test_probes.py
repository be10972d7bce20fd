"""What a release is asked from outside: what the Compose file says, as far as the load balancer leads there."""

from __future__ import annotations

import pytest

from stackhand.project.stack import probes
from stackhand.project.stack.probes import Web
from stackhand.project.stack.xaws import Probe

WEB = Web(["/*"], "/healthz")
API = Web(["/api/*", "/health*", "/version"], "/health", Probe("/health/all", "/version"))


@pytest.mark.parametrize(
    ("webs", "asked", "notes"),
    [
        ({"web": WEB}, ["web /healthz"], []),
        ({"web": WEB, "api": API}, ["web /healthz", "api /health/all", "api /version commit"], []),
        ({"web": Web(["/*"], "/healthz", Probe(version="/v"))}, ["web /healthz", "web /v commit"], []),
        ({"worker": Web([], "/up")}, [], []),
        ({"web": Web(["/*"], "/up", probe=False)}, [], ["web is not probed from outside: x-aws.probe is false"]),
        (
            {"web": Web(["/*"], "/up"), "shop": Web(["/shop/*"], "/up")},
            ["web /up"],
            ["/up of shop cannot be probed from outside: it is routed to web; only the load balancer checks it"],
        ),
        (
            {"shop": Web(["/shop/*"], "/")},
            [],
            ["/ of shop cannot be probed from outside: no x-aws.paths route to it"],
        ),
        ({"web": WEB, "shop": Web(["/shop/*"], "/up?deep=1")}, ["web /healthz", "shop /up?deep=1"], []),
        (
            {"web": WEB, "shop": Web(["/*"], "/up", host=["shop.example.org"])},
            ["web /healthz"],
            ["shop is not probed from outside: it answers shop.example.org; the load balancer checks it"],
        ),
        (
            {"web": Web(["/*"], "/up?a"), "shop": Web(["/shop/*"], "/up?b")},
            ["web /up?a"],
            ["/up?b of shop cannot be probed from outside: it is routed to web; only the load balancer checks it"],
        ),
    ],
    ids=[
        "health",
        "ours",
        "version",
        "worker",
        "switched off",
        "one path twice",
        "no way",
        "query",
        "a host name of its own",
        "one path twice, with queries",
    ],
)
def test_release_probe_requests(webs: dict[str, Web], asked: list[str], notes: list[str]) -> None:
    found = probes.of(webs)
    assert [f"{each.service} {each.path}{' commit' if each.commit else ''}" for each in found.asked] == asked
    assert list(found.notes) == notes


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "web"),
        ("/api/x", "api"),
        ("/health/all", "api"),
        ("/healthz", "web"),
        ("/version", "api"),
        ("/v", "web"),
        ("/version?x=/v", "api"),
    ],
)
def test_a_path_leads_where_the_load_balancer_sends_it(path: str, service: str) -> None:
    assert probes.leads_to(path, {"web": WEB, "api": API}) == service


def test_a_stack_that_has_nothing_to_ask_is_told_so() -> None:
    found = probes.of({"worker": Web([], None)})
    assert found.message() == "nothing is probed from outside: no service has x-aws.paths and a health path"
    assert found.version is None
    assert probes.of({"web": WEB, "api": API}).version == "/version"
