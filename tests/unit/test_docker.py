"""The docker command: an exit code is never overlooked, and docker's own words are handed on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stackhand.cli.failure import Failure
from stackhand.containers import docker, endpoint, images, listing
from stackhand.containers.endpoint import Unavailable
from stackhand.local import otherengine, preflight, status
from stackhand.local import verbs as local
from stackhand.local.engines.compose import containers, failures
from stackhand.local.engines.compose.engine import Compose
from stackhand.project.memory import ComposeProject, Memory
from stackhand.project.state import State

Says = Callable[..., None]
MISSING = "Error response from daemon: No such image: shop:latest"


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Have the docker command say this, and end with that."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(endpoint, "local_socket", lambda *_: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def answer(err: str, code: int = 1, out: str = "") -> None:
        (tmp_path / "out").write_text(out)
        (tmp_path / "err").write_text(err + "\n" if err else "")
        (tmp_path / "docker").write_text(f"#!/bin/sh\ncat {tmp_path}/out\ncat {tmp_path}/err >&2\nexit {code}\n")
        (tmp_path / "docker").chmod(0o755)

    return answer


CONNECT = "Cannot connect to the Docker daemon at unix:///run/x.sock. Is the docker daemon running?"
UNAVAILABLE = [
    (
        'Failed to initialize: unable to resolve docker endpoint: context "far": context not found: open /x/meta.json',
        "There is no docker context 'far'.",
        "docker context use default",
    ),
    (
        "Error response from daemon: client version 1.99 is too new. Maximum supported API version is 1.45",
        "uses API version 1.99, and the container engine at unix:///var/run/docker.sock none above 1.45.",
        "update the container engine",
    ),
    (
        "Error response from daemon: client version 1.41 is too old. Minimum supported API version is 1.44",
        "uses API version 1.41, and the container engine at unix:///var/run/docker.sock none below 1.44.",
        "update the docker command",
    ),
    (
        "permission denied while trying to connect to the docker API at unix:///run/x.sock",
        "This account has no permission to use the container engine at unix:///run/x.sock.",
        "usermod -aG docker",
    ),
    (
        "error during connect: Get https://10.0.0.1:2376/v1.45/info: x509: certificate signed by unknown authority",
        "TLS with the container engine at",
        "DOCKER_CERT_PATH",
    ),
    (
        "Error response from daemon: Client sent an HTTP request to an HTTPS server.",
        "TLS with the container engine at",
        "DOCKER_CERT_PATH",
    ),
    (CONNECT, "nothing answers at unix:///run/x.sock.", "start Docker"),
    (
        "failed to connect to the docker API at unix:///run/x.sock; check it",
        "nothing answers at unix:///run/x.sock.",
        "",
    ),
    (
        "request returned 500 Internal Server Error for API route and version http://x/v1.50/_ping",
        "is not usable.",
        "",
    ),
]


@pytest.mark.parametrize(("message", "what", "remedy"), UNAVAILABLE)
def test_an_engine_that_cannot_be_asked_has_a_sentence_of_its_own_and_docker_has_its_words(
    says: Says, message: str, what: str, remedy: str
) -> None:
    says(message)
    for ask in (
        lambda: listing.listed("shop"),
        lambda: listing.inspect(["shop-api"]),
        lambda: images.present(["shop"]),
        lambda: containers.log("shop-api", "api", 9),
        docker.reach,
    ):
        with pytest.raises(Unavailable) as caught:
            ask()
        assert what in caught.value.what
        assert remedy in caught.value.next
        assert message in caught.value.evidence
        assert caught.value.code == 3


def test_missing_object_is_an_answer_other_errors_are_not(says: Says) -> None:
    says(MISSING)
    assert images.present(["shop"]) == {}
    says("Error response from daemon: No such container: shop-api", out="[]")
    assert listing.inspect(["shop-api"]) == {}
    assert containers.log("shop-api", "api", 9) == []
    for message in ("Error response from daemon: something new", ""):
        says(message, code=125)
        with pytest.raises(docker.Failed, match="docker image inspect failed") as caught:
            images.present(["shop"])
        assert list(caught.value.evidence) == [message or "no output, exit code 125"]


def test_the_failure_of_a_service_is_told_even_when_its_log_cannot_be_read(says: Says) -> None:
    says("Error response from daemon: configured logging driver does not support reading")
    shown = failures.failure("api", {"Name": "/shop-api", "State": {}}, "stopped")
    assert shown.what == "api stopped."
    assert "its log cannot be read: Error response from daemon: configured logging driver" in shown.evidence[0]


WSL = """
The command 'docker' could not be found in this WSL 2 distro.
We recommend to activate the WSL integration in Docker Desktop settings.
"""


def test_the_stand_in_for_docker_in_wsl_reports_on_stdout(says: Says) -> None:
    says("", out=WSL)
    for ask in (lambda: listing.listed("shop"), docker.reach):
        with pytest.raises(Unavailable, match="Docker Desktop has no docker command for this WSL") as caught:
            ask()
        assert "The command 'docker' could not be found in this WSL 2 distro." in caught.value.evidence
        assert "WSL integration" in caught.value.next


FAR = "ssh://me@far:2222"
BY_SSH = {
    "me@far: Permission denied (publickey).": f"ssh has no key that the container engine at {FAR} accepts.",
    "ssh: Could not resolve hostname far: Name or service not known": f"The host of the container engine at {FAR}",
    "ssh: connect to host far port 2222: Connection timed out": "does not answer ssh.",
    "ssh: connect to host far port 2222: Connection refused": "does not answer ssh.",
    "Host key verification failed.": f"ssh does not know the host key of the container engine at {FAR}.",
    "sh: 1: docker: command not found": f"The host of the container engine at {FAR} has no docker command.",
    "kex_exchange_identification: read: Connection reset by peer": f"ssh to the container engine at {FAR} failed.",
}


@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker command")
@pytest.mark.parametrize(("message", "what"), BY_SSH.items())
def test_an_engine_that_ssh_does_not_reach_may_run_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, what: str
) -> None:
    (tmp_path / "ssh").write_text(f"#!/bin/sh\nread -r _\necho '{message}' >&2\nexit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", FAR)
    failure = _refused(tmp_path, FAR)
    assert what in failure.evidence[0]
    assert message in failure.evidence[1]
    assert failure.next.startswith("fix what this shows: ssh -p 2222 me@far docker version")


REMOTE = {
    'error during connect: Get "http://far:2375/v1.45/info": dial tcp: lookup far on 127.0.0.53:53: no such host': (
        "The container engine at tcp://far:2375 cannot be reached: the host name far has no address."
    ),
    "failed to connect to the docker API at tcp://far:2375: dial tcp: lookup far: no such host": (
        "The container engine at tcp://far:2375 cannot be reached: the host name far has no address."
    ),
    "Cannot connect to the Docker daemon at tcp://far:2375. Is the docker daemon running?": (
        "No container engine answers at tcp://far:2375, which DOCKER_HOST names."
    ),
    'error during connect: Get "http://far:2375/v1.45/info": dial tcp 10.0.0.1:2375: i/o timeout': (
        "The container engine at tcp://far:2375 did not answer in time."
    ),
    'error during connect: Get "http://far:2375/v1.45/info": EOF': (
        "The container engine at tcp://far:2375 closed the connection without an answer."
    ),
}


@pytest.mark.parametrize(("message", "what"), REMOTE.items())
def test_an_engine_on_another_machine_that_does_not_answer_may_run_the_stack(
    says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, what: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://far:2375")
    says(message)
    assert what in _refused(tmp_path, "tcp://far:2375").evidence[0]


def test_a_context_that_leads_nowhere_may_hide_the_stack(
    says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    says(UNAVAILABLE[0][0])
    assert "There is no docker context 'far'." in _refused(tmp_path, "").evidence[0]


def _refused(folder: Path, made_on: str) -> Failure:
    """Return why embedded is not started here, where containers were made on an engine at an address."""
    with pytest.raises(Failure, match="It is unknown whether this checkout still runs on compose") as caught:
        preflight.no_other_engine("embedded", _made_on(folder, made_on))
    return caught.value


def _made_on(folder: Path, host: str) -> State:
    state = State(folder)
    state.make()
    state.write(Memory(engine="compose", name="shop", compose=ComposeProject("shop", str(folder), host)))
    return state


@pytest.fixture
def sockets(folder: Path) -> Iterator[Path]:
    """A folder with sockets of engines: one ended, one closes each connection, one has a container, one has none."""
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(folder / "ended"))
    with ExitStack() as servers:
        for name, handler in (
            ("closing", socketserver.BaseRequestHandler),
            ("running", _OneContainer),
            ("empty", _Nothing),
        ):
            server = servers.enter_context(socketserver.UnixStreamServer(str(folder / name), handler))
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            servers.callback(server.shutdown)
        yield folder


class _Nothing(socketserver.StreamRequestHandler):
    body = b"[]"

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self.body), self.body))


class _OneContainer(_Nothing):
    body = b'[{"Id": "1"}]'


@pytest.mark.parametrize(
    ("made_on", "now", "refusal"),
    [
        ("none", "none", ""),
        ("ended", "ended", ""),
        ("", "ended", ""),  # made before addresses were remembered
        ("ended", "running", ""),  # the engine in force has nothing to do with it
        ("closing", "closing", "It is unknown whether"),
        ("", "closing", "It is unknown whether"),
        ("running", "running", "This checkout runs on compose"),
        ("running", "none", "This checkout runs on compose"),
    ],
)
def test_only_a_socket_at_which_no_process_listens_runs_nothing(
    sockets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, made_on: str, now: str, refusal: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{sockets}/{now}")
    state = _made_on(tmp_path, made_on and f"unix://{sockets}/{made_on}")
    if not refusal:
        preflight.no_other_engine("embedded", state)
        return
    with pytest.raises(Failure, match=refusal) as caught:
        preflight.no_other_engine("embedded", state)
    if made_on == "running" and now == "none":  # which down would not ask
        assert caught.value.next.startswith(f"DOCKER_HOST=unix://{sockets}/running ./inv down, then ./inv up")
    if "told" in refusal:
        assert f"{sockets}/closing closed the connection without an answer." in caught.value.evidence[0]


def test_an_engine_that_is_not_in_force_any_more_is_asked_by_its_address(
    says: Says, sockets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{sockets}/ended")
    says("")
    (tmp_path / "docker").write_text("#!/bin/sh\necho error during connect: $DOCKER_HOST: EOF >&2\nexit 1\n")
    failure = _refused(tmp_path, "tcp://far:2375")
    assert "The container engine at tcp://far:2375 closed" in failure.evidence[0]
    assert failure.evidence[1] == "error during connect: tcp://far:2375: EOF"


@pytest.mark.parametrize("now", ["none", "ended", "empty"])
def test_an_engine_that_is_gone_for_good_is_let_go_by_down_and_told(
    says: Says,
    sockets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    now: str,
) -> None:
    says("")
    gone = "case $DOCKER_HOST in tcp:*) echo error during connect: lookup far: no such host >&2; exit 1 ;; esac\n"
    (tmp_path / "docker").write_text(f"#!/bin/sh\n{gone}")
    monkeypatch.setenv("DOCKER_HOST", "tcp://far:2375")
    assert _refused(tmp_path, "tcp://far:2375").next.endswith("no longer exists, unset DOCKER_HOST, then ./inv down")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{sockets}/{now}")
    assert _refused(tmp_path, "tcp://far:2375").next.endswith("or, if that engine no longer exists, ./inv down")
    state = State(tmp_path)
    monkeypatch.setattr(local, "State", lambda _: state)
    local.down(volumes=False, yes=False)
    made = "  but the containers and volumes of shop were created on tcp://far:2375, but docker now uses "
    assert capsys.readouterr().out.startswith(f"shop is not running.\n{made}")
    preflight.no_other_engine("embedded", state)
    assert Compose(state).elsewhere()


def test_an_engine_on_another_machine_has_longer_to_answer(
    says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says("")
    script = '#!/bin/sh\nsleep 0.2\ncase $1 in version) echo \'{"Version": "26.1"}\' ;; *) echo 2.26.1 ;; esac\n'
    (tmp_path / "docker").write_text(script)
    monkeypatch.setattr(docker, "ANSWER_WITHIN", 0.1)
    monkeypatch.setenv("DOCKER_HOST", FAR)
    assert docker.reach() == docker.Reached(FAR, "26.1", "2.26.1")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/here")
    with pytest.raises(Unavailable, match=rf"at unix://{tmp_path}/here did not answer within 0\.1 s") as caught:
        docker.reach()
    assert caught.value.next.startswith("restart Docker")


def test_what_another_engine_has_is_told_where_nothing_runs_and_not_forgotten(
    sockets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    state = _made_on(tmp_path, f"unix://{sockets}/running")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{sockets}/empty")
    made = f"the containers and volumes of shop were created on unix://{sockets}/running"
    told = [f"{made}, but docker now uses unix://{sockets}/empty"]
    engine = Compose(state)
    assert status.services(engine) == []
    assert engine.notes == told
    assert otherengine.left(state, volumes=True) == otherengine.Left(running=False, data=[], unknown=told)
    assert otherengine.stop(state, volumes=True) == ([], told, [])
    assert state.read().compose == ComposeProject("shop", str(state.root), f"unix://{sockets}/running")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{sockets}/running")
    assert engine.elsewhere() == ""


@pytest.mark.parametrize(
    ("host", "socket_path", "remote"),
    [
        ("unix:///run/user/1/docker.sock", "/run/user/1/docker.sock", False),
        ("npipe:////./pipe/docker_engine", None, False),
        ("ssh://me@far", None, True),
        ("tcp://127.0.0.1:2375", None, True),
    ],
)
def test_the_address_of_a_context_is_read_as_docker_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, socket_path: str | None, *, remote: bool
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    place = tmp_path / "contexts" / "meta" / hashlib.sha256(b"here").hexdigest()
    place.mkdir(parents=True)
    (place / "meta.json").write_text(json.dumps({"Name": "here", "Endpoints": {"docker": {"Host": host}}}))
    (tmp_path / "config.json").write_text('{"currentContext": "here"}')
    assert endpoint.address() == host
    assert endpoint.local_socket() == socket_path
    assert endpoint.is_remote(endpoint.address()) is remote
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    assert endpoint.address() == ""
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert endpoint.address() == endpoint.DEFAULT_HOST


def test_a_log_that_cannot_be_followed_any_more_does_not_end_as_if_it_were_over(says: Says) -> None:
    says("error during connect: the engine went away")
    lines = containers.follow({"shop-api": "api"})
    assert next(lines).text == "error during connect: the engine went away"
    with pytest.raises(Unavailable):
        next(lines)
    says("Error response from daemon: can not get logs from container which is dead or marked for removal")
    assert len(list(containers.follow({"shop-api": "api"}))) == 1
