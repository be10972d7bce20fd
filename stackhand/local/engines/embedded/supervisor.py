"""supervisord of one checkout: its configuration, its start and end, and a client for its XML-RPC interface."""

from __future__ import annotations

import configparser
import http.client
import io
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from stackhand.cli.failure import Failure
from stackhand.cli.loglines import tail
from stackhand.local.engines.embedded import launch, processes
from stackhand.local.engines.embedded.processes import UNKNOWN, Supervised
from stackhand.project import inherited, ownership
from stackhand.project.state import State
from stackhand.system import waiting

COMMENT = re.compile(r"\s[#;]")
ROOT = "STACKHAND_ROOT"
PROGRAM = Path(launch.__file__).with_name("supervisord.py")
ANSWER_WITHIN = 3.0
START_WITHIN = 10.0
STOPS_WITHIN = 15.0
"""Above the `stopwaitsecs` of every program, after which supervisord kills."""
FILES, PROCESSES = 1024, 200
"""What supervisord raises its own limits to, and thereby those of the services, where this account may."""


class SupervisorUnavailable(Exception):  # noqa: N818 - a state, not a fault: nobody supervises right now
    """No supervisord of this checkout answers."""


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, with a time limit: a stopped supervisord must not stop us too."""

    def __init__(self, path: Path, within: float) -> None:
        super().__init__()
        self.path, self.within = path, within

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ARG002 - the path says where
        connection = http.client.HTTPConnection("localhost", timeout=self.within)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(self.within)
        connection.sock.connect(str(self.path))
        return connection


class Supervisor:
    """supervisord of one checkout, whose `.stackhand` is `state`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.configuration = state.directory / "supervisord.conf"
        self.log = state.logs / "supervisord.log"
        self._lock = threading.Lock()
        self._known: dict[str, Supervised] = {}
        self._known_at = 0.0
        self._called = threading.local()
        self._starting = threading.Lock()
        self._wanted: list[str] = []

    @property
    def socket(self) -> Path:
        """The socket of its XML-RPC interface."""
        return self.state.sockets / "supervisor.sock"

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of supervisord (http://supervisord.org/api.html).

        Raises:
            SupervisorUnavailable: nobody answers.
            xmlrpc.client.Fault: supervisord refuses.
        """
        try:
            return self._ask(f"supervisor.{method}", *arguments)
        finally:
            self._called.at = time.monotonic()

    def _ask(self, method: str, *arguments: Any, within: float = ANSWER_WITHIN) -> Any:
        if not (ownership.is_closed(self.socket.parent) and ownership.is_ours(self.socket)):
            raise SupervisorUnavailable("our socket does not exist")
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(self.socket, within))
        try:
            return getattr(proxy, method)(*arguments)
        except PermissionError as error:  # somebody answers, but not to this account
            raise PermissionError(error.errno, error.strerror, str(self.socket)) from error
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise SupervisorUnavailable(str(error)) from error

    def start(self, name: str) -> None:
        """Start a program. Threads that come meanwhile share one request: what has started takes supervisord's time."""
        self._wanted.append(name)
        with self._starting:
            names, self._wanted = self._wanted, []
            calls = [{"methodName": "supervisor.startProcess", "params": (name, False)} for name in names]
            answers = self._ask("system.multicall", calls, within=ANSWER_WITHIN + len(names)) if names else []
            for answer in answers:
                if isinstance(answer, dict):
                    raise xmlrpc.client.Fault(answer["faultCode"], answer["faultString"])
        self._called.at = time.monotonic()

    def processes(self, *, age: float = 0.0) -> dict[str, Supervised]:
        """Return what supervisord knows of each program, by name; nothing when it does not run.

        Each call also makes supervisord look after its children at once instead of at its next tick.

        Args:
            age: seconds that the answer may be old, for threads that wait side by side: they share it. It is never of
                before the same thread's last `call`.
        """
        oldest = max(time.monotonic() - age, getattr(self._called, "at", 0.0))
        with self._lock:  # whoever waits for it meanwhile takes the same answer
            if self._known_at < oldest:
                began, answer = time.monotonic(), list[dict[str, Any]]()
                with suppress(SupervisorUnavailable):
                    answer = self._ask("supervisor.getAllProcessInfo")
                self._known = {each["name"]: msgspec.convert(each, Supervised) for each in answer}
                self._known_at = began
            return self._known

    def configure(self, programs: Mapping[str, Mapping[str, Any]]) -> bool:
        """Write the configuration; `programs` are the options of each beyond the common ones.

        Returns:
            Whether it differs from the one before.
        """
        parser = configparser.RawConfigParser()
        parser["unix_http_server"] = {"file": self._plain(self.socket), "chmod": "0700"}
        parser["supervisord"] = {
            "logfile": self._plain(self.log),
            "logfile_maxbytes": "1MB",
            "logfile_backups": "1",
            "pidfile": self._plain(self.state.run / "supervisord.pid"),
            "nodaemon": "true",
            "silent": "true",
            "minfds": str(_limit(resource.RLIMIT_NOFILE, FILES)),
            "minprocs": str(_limit(resource.RLIMIT_NPROC, PROCESSES)),
        }
        parser["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        }
        python, launcher = self._plain(sys.executable), self._plain(launch.__file__)
        for name, options in programs.items():
            parser[f"program:{name}"] = {
                "command": f'"{python}" -I -S "{launcher}" "{self._plain(self.state.services / name)}.json"',
                "autostart": "false",
                "autorestart": "true",
                "startsecs": "1",
                "startretries": "3",
                "killasgroup": "true",
                "redirect_stderr": "true",
                "stdout_logfile": self._plain(self.state.logs / f"{name}.log"),
                "stdout_logfile_maxbytes": "10MB",
                "stdout_logfile_backups": "2",
                **options,
            }
        text = io.StringIO()
        parser.write(text)
        return ownership.update(self.configuration, text.getvalue().encode())

    def ensure(self) -> bool:
        """Have one supervisord run that knows the present configuration.

        Returns:
            Whether it had to be started.

        Raises:
            Failure: it does not come up; its log says why.
        """
        with suppress(SupervisorUnavailable):
            self._reload()
            return False
        self.sweep()
        self.socket.unlink(missing_ok=True)
        spec = self.state.run / "supervisord.spec"
        ownership.write(
            spec,
            json.dumps(
                {
                    "argv": [sys.executable, str(PROGRAM), "-c", str(self.configuration)],
                    "environment": inherited.environment("server", LANG="C.UTF-8", **{ROOT: str(self.state.root)}),
                    "directory": str(self.state.root),
                    "account": None,
                    "umask": 0o022,
                    "fingerprint": "",
                    "record": str(self.state.run / f"{processes.SUPERVISOR}.json"),
                    # The owner of the checkout may know that somebody else runs it; it has no fingerprint to try.
                    "record_mode": 0o600 if self.state.root.stat().st_uid == os.getuid() else 0o644,
                }
            ),
        )
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", launch.__file__, str(spec)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in waiting.polls(START_WITHIN, 0.02):
            if child.poll() is not None:
                break
            with suppress(SupervisorUnavailable):
                self.call("getState")
                return True
        raise Failure("The process supervisor did not start.", evidence=tail(self.log, 10), next=f"read {self.log}")

    def shutdown(self, timeout: float) -> list[str]:
        """End supervisord; what it has not stopped by then is ended one by one.

        Returns:
            The names of the services that were left without a supervisor.
        """
        record = processes.read(self.state.run, processes.SUPERVISOR)
        with suppress(SupervisorUnavailable, xmlrpc.client.Fault):
            self.call("shutdown")
            for _ in waiting.polls(timeout, 0.02):
                if not record or not record.alive:
                    break
                with suppress(SupervisorUnavailable, xmlrpc.client.Fault):
                    self.call("getState")  # wakes it, so that it ends now and not at its next tick
        return self.sweep()

    def sweep(self) -> list[str]:
        """End every process of this checkout that is left without a supervisor, and forget the records.

        Returns:
            The names of the services that were left.
        """
        records = processes.records(self.state.run)
        left = processes.living(records)
        names = {record.pid: record.name for record in records.values()}
        polite = {pid: self._stop_signal(name) for pid, name in names.items()}
        supervisors = [process for process in left if names.get(process.pid) == processes.SUPERVISOR]
        processes.end(supervisors, 0.0, polite)  # first: it would restart what we end
        processes.end([process for process in left if process not in supervisors], 5.0, polite)
        for path in self.state.run.glob("*.json"):
            path.unlink(missing_ok=True)
        return sorted({names[process.pid] for process in left if process.pid in names} - {processes.SUPERVISOR})

    def _stop_signal(self, name: str) -> int:
        try:
            spec = json.loads((self.state.services / f"{name}.json").read_text(encoding="utf-8"))
            return int(signal.Signals[f"SIG{spec['stop_signal']}"])
        except (OSError, ValueError, KeyError):
            return signal.SIGTERM

    def _reload(self) -> None:
        """Tell a running supervisord which programs came and went."""
        added, changed, removed = self.call("reloadConfig")[0]
        for name in (*removed, *changed):
            with suppress(xmlrpc.client.Fault):
                self.call("stopProcess", name, False)  # it would answer when the service has ended, too late for us
        for name in (*removed, *changed):
            for _ in waiting.polls(STOPS_WITHIN, 0.03):
                if self.processes().get(name, UNKNOWN).statename != "STOPPING":
                    break
            self.call("removeProcessGroup", name)
        for name in (*added, *changed):
            self.call("addProcessGroup", name)

    def _plain(self, path: str | Path) -> str:
        """Return a path as supervisord's configuration wants it: a percent sign begins an expansion there.

        A # or ; behind a blank begins a comment, and nothing quotes it; but what an expansion brings is not looked at.
        """
        root, text = str(self.state.root), str(path)
        if COMMENT.search(root) and text.startswith(root):
            return f"%(ENV_{ROOT})s{text.removeprefix(root).replace('%', '%%')}"
        return text.replace("%", "%%")


def _limit(kind: int, wanted: int) -> int:
    """Return what to ask of supervisord: it refuses to start where it cannot have that much."""
    _, most = resource.getrlimit(kind)
    return wanted if most == resource.RLIM_INFINITY else min(wanted, most)
