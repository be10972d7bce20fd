"""A copy of the repository with a history of its own, in which a rehearsal may commit what it likes.

Also a change whose release must fail: one service of it exits as soon as it is started.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from stackhand.ansible.events import EVENTS
from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers.images import stream
from stackhand.infrastructure.services import compose, services
from stackhand.project.compose import composefiles
from stackhand.project.compose.resolution import Entry
from stackhand.project.stack.dockerfile import TARGET
from stackhand.project.stack.model import Service, Stack
from stackhand.project.stack.xaws import Fargate, Job
from stackhand.project.state import LOCK_HELD
from stackhand.release.checkout import export, git
from stackhand.system import roots
from stackhand.system.roots import CONTENT, PROJECT

SCRIPT = 1_000_000
"""Bytes beyond which a program is no script that names its Python."""
OF_ITS_OWN = {EVENTS, LOCK_HELD, roots.VARIABLE}
"""What verbs in it must not have from the checkout: they would act there."""
INSTALLED = ("tools",)
"""Folders of an environment that `./inv` makes when something is installed into them."""
FAILING = "echo this release fails on purpose, to rehearse a rollback; exit 3"
EXITS = f'["sh", "-c", "{FAILING}"]'
WHO = ("-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost", "-c", "commit.gpgsign=false")


class Clone:
    """A clone of the project's repository, made at a path.

    Args:
        path: where it is.
        place: where the project is below it; the project may be a folder of the repository.
    """

    def __init__(self, path: Path, place: str = "") -> None:
        self.path, self.project = path, path / place

    @classmethod
    def make(cls, path: Path, files: Mapping[str, Path] | None = None) -> Clone:
        """Clone the repository; what is not committed here is a commit of its own there.

        Args:
            path: where to.
            files: what the project in it gets besides: files by their paths there.

        Raises:
            Failure: this is no checkout of git.
        """
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        cls(path).git("rev-parse", "HEAD", folder=PROJECT)  # whose refusal says more than that of a clone
        top, place = export.placed(PROJECT)
        clone = cls(path, place)
        clone.git("clone", "--quiet", str(top), str(path), folder=PROJECT)
        if PROJECT == CONTENT:
            (path / ".git" / "info" / "exclude").write_text(".venv\n", encoding="utf-8")
            link_environment(PROJECT / ".venv", path / ".venv")
        clone.clone_submodules(top, path)
        for name in git.names("ls-files", "-z", "--modified", "--others", "--exclude-standard", folder=top):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            if (top / name).is_dir():
                continue
            if (top / name).exists():
                shutil.copy2(top / name, path / name)
            else:
                (path / name).unlink(missing_ok=True)
        for name, file in (files or {}).items():
            (clone.project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, clone.project / name)
        if clone.git("status", "--porcelain"):
            clone.commit("Uncommitted changes")
        return clone

    @property
    def head(self) -> str:
        """The commit it is at."""
        return self.git("rev-parse", "HEAD").strip()

    def clone_submodules(self, origin: Path, target: Path) -> None:
        """Clone the submodules that a checkout has, at the commits that it has recorded."""
        for name, commit in git.submodules(origin, ["."]).items():
            if (origin / name / ".git").exists():
                self.git("clone", "--quiet", "--no-checkout", str(origin / name), str(target / name), folder=origin)
                self.git("checkout", "--quiet", commit, folder=target / name)
                self.clone_submodules(origin / name, target / name)

    def commit(self, message: str) -> str:
        """Commit everything, or nothing at all, and return the new commit."""
        self.git("add", "--all")
        self.git(*WHO, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", message)
        return self.head

    def back(self, commit: str) -> None:
        """Be at an earlier commit again."""
        self.git("reset", "--quiet", "--hard", commit)

    def sabotage(self) -> None:
        """Break a service in it, so that its migrations still run: by its image, or by the Compose file."""
        stack, resolved = compose.stack_of(PROJECT), services.resolve(PROJECT).resolved
        service = _chosen(stack, resolved)
        path = self.project / (Path(service.build.context) / service.build.dockerfile if service.build else "")
        if path.is_file() and not _overridden(resolved[service.name]):
            # What runs in the same image needs its entrypoint, which then takes a command.
            reset = [] if _is_shared(stack, service, resolved) else ["ENTRYPOINT []"]
            path.write_text(ending_with(path.read_text(encoding="utf-8"), [*reset, f"CMD {EXITS}"]), encoding="utf-8")
        else:
            _override(self.project / composefiles.OVERLAY, service)

    def inv(
        self, args: list[str], environment: Mapping[str, str], notify: Callable[[str], None]
    ) -> tuple[int, list[str]]:
        """Run a verb in it, tell each line as it comes, and return the exit code and all lines.

        The clone of a checkout of Stackhand has the verbs in it; elsewhere they are those that run now.
        """
        program = ["sh", "./inv"] if PROJECT == CONTENT else [sys.executable, "-P", "-m", "stackhand"]
        theirs = {key: value for key, value in environment.items() if key not in OF_ITS_OWN}
        ours = {"LANG": os.environ.get("LANG", "C.UTF-8"), roots.VARIABLE: str(self.project)}
        return stream([*program, *args], {**theirs, **ours}, self.project, notify)

    def git(self, *args: str, folder: Path | None = None) -> str:
        """Run a git command in it and return what it says.

        Raises:
            Failure: it cannot be done.
        """
        try:
            return git.run(*args, folder=folder or self.path)
        except git.NoGit as failure:
            raise Failure(
                "A rehearsal needs the git history of this checkout, which git cannot read.",
                evidence=[failure.what, *failure.evidence],
                next="run it in a clone of the repository",
                code=ExitCode.PREFLIGHT,
            ) from None


def link_environment(ours: Path, theirs: Path) -> None:
    """Make a virtual environment with the packages of another one, whose programs belong to the checkout around it.

    A plain link would not do: a script names its Python by path, and that one finds the checkout beside itself.
    """
    if not ours.is_dir():
        return
    (theirs / "bin").mkdir(parents=True)
    for name in INSTALLED:  # else what the copy installs would be noted here, and be there only
        (ours / name).mkdir(exist_ok=True)
    for each in ours.iterdir():
        if each.name != "bin":
            (theirs / each.name).symlink_to(each)
    for each in (ours / "bin").iterdir():
        _place(each, theirs / "bin" / each.name, {str(ours.resolve()): str(theirs), str(ours): str(theirs)})


def _place(program: Path, at: Path, paths: Mapping[str, str]) -> None:
    """Copy a script with other paths in it; link to what is none."""
    if program.is_symlink():
        at.symlink_to(program.readlink())
        return
    content = program.read_bytes() if program.stat().st_size < SCRIPT else b"\0"
    if b"\0" in content:
        at.symlink_to(program)
        return
    for old, new in paths.items():
        content = content.replace(old.encode(), new.encode())
    at.write_bytes(content)
    shutil.copymode(program, at)


def _chosen(stack: Stack, resolved: dict[str, Entry]) -> Service:
    """Return the service to break: one that is broken by its image if there is one, and after a migration."""
    return min(
        (each for each in stack.services.values() if isinstance(each.aws, Fargate)),
        key=lambda each: (not each.build or _overridden(resolved[each.name]), not (each.jobs or each.migrate)),
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
    entry["command" if service.migrate else "entrypoint"] = ["sh", "-c", FAILING]
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
