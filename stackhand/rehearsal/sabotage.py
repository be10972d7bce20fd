"""A commit whose release must fail: one service of it exits as soon as it is started."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from stackhand.infrastructure.services import compose, services
from stackhand.project.compose import composefiles
from stackhand.project.compose.resolution import Entry
from stackhand.project.stack.dockerfile import TARGET
from stackhand.project.stack.model import Service, Stack
from stackhand.project.stack.xaws import Fargate, Job
from stackhand.rehearsal.clone import Clone
from stackhand.system.roots import PROJECT

SCRIPT = "echo this release fails on purpose, to rehearse a rollback; exit 3"
EXITS = f'["sh", "-c", "{SCRIPT}"]'


def apply(clone: Clone) -> None:
    """Break a service in a clone, so that its migrations still run: by its image, or by the Compose file."""
    stack, resolved = compose.stack_of(PROJECT), services.resolve(PROJECT).resolved
    service = choose(stack.services.values(), resolved)
    path = clone.project / (Path(service.build.context) / service.build.dockerfile if service.build else "")
    if path.is_file() and not _overridden(resolved[service.name]):
        # What runs in the same image needs its entrypoint, which then takes a command.
        reset = [] if _is_shared(stack, service, resolved) else ["ENTRYPOINT []"]
        path.write_text(ending_with(path.read_text(encoding="utf-8"), [*reset, f"CMD {EXITS}"]), encoding="utf-8")
    else:
        _override(clone.project / composefiles.OVERLAY, service)


def choose(candidates: Iterable[Service], resolved: dict[str, Entry]) -> Service:
    """Return the service to break: one that is broken by its image if there is one, and after a migration."""
    running = [each for each in candidates if isinstance(each.aws, Fargate)]
    return min(
        running,
        key=lambda each: (
            not each.build or _overridden(resolved[each.name]),
            not (each.jobs or each.migrate),
        ),
    )


def ending_with(dockerfile: str, lines: Iterable[str]) -> str:
    """Return a Dockerfile with lines at the end of the stage that a service is released as."""
    stages = re.split(r"^(?=FROM )", dockerfile, flags=re.MULTILINE)
    named = [number for number, text in enumerate(stages) if re.match(rf"FROM .* AS {TARGET}\s", text, re.IGNORECASE)]
    at = named[0] if named else len(stages) - 1
    stages[at] = "\n".join([stages[at].rstrip(), *lines, "", ""])
    return "".join(stages)


def _overridden(entry: Entry) -> bool:
    """Whether the Compose file says what a service runs, whatever its image does."""
    return bool(entry.get("command") or entry.get("entrypoint"))


def _is_shared(stack: Stack, service: Service, resolved: dict[str, Entry]) -> bool:
    """Whether migrations run in the service's image, by its entrypoint."""
    jobs = [each for each in stack.services.values() if isinstance(each.aws, Job)]
    return bool(service.migrate) or any(
        not resolved[each.name].get("entrypoint") and (each.name in service.jobs or each.build == service.build)
        for each in jobs
    )


def _override(path: Path, service: Service) -> None:
    """Have a service exit, by the overlay; a migration in the service's own task needs its entrypoint."""
    import yaml

    document = (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}
    entry = document.setdefault("services", {}).setdefault(service.name, {})
    entry["command" if service.migrate else "entrypoint"] = ["sh", "-c", SCRIPT]
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
