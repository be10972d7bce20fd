"""What each program that we start inherits from the user's shell: an allow-list, here and nowhere else.

A shell is full of settings for other projects (PYTHONPATH, ANSIBLE_*, COMPOSE_*, GIT_DIR, TF_WORKSPACE), and none of
them may change what a verb does. Python's are dropped by `inv` itself, before our own code runs. docs/environment.md
has the table for people; STACKHAND_PASS is the way through for what it lacks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from stackhand.project import passthrough
from stackhand.system.roots import PROJECT

LOADER = ("LD_LIBRARY_PATH", "DYLD_*PATH", "NIX_LD", "NIX_LD_*")
"""Where shared libraries are: a Python of `module load` or Nix does not start without. Not LD_PRELOAD: other code."""
PERSON = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TERMINFO", "TERMINFO_DIRS", "COLORTERM", "NO_COLOR"),
    *("TZ", "TMPDIR", "XDG_*", "LANG", "LANGUAGE", "LC_*"),
    *LOADER,
)
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CA_BUNDLE", "PIP_CERT")
DOCKER = (
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS", "DOCKER_TLS_VERIFY"),
    *("DOCKER_API_VERSION", "DOCKER_DEFAULT_PLATFORM", "BUILDX_BUILDER", "BUILDX_CONFIG", "SSH_AUTH_SOCK"),
)
COMPOSE = (
    *("COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"),
    *("COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR", "COMPOSE_ENV_FILES"),
)
"""What the stack is, as Compose is told; not how Compose behaves, such as COMPOSE_IGNORE_ORPHANS."""
AWS = ("AWS_*",)
TERRAFORM_ITSELF = ("TF_LOG*", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "TF_TOKEN_*", "TF_REATTACH_PROVIDERS")
TERRAFORM = (*TERRAFORM_ITSELF, "TF_VAR_*")
"""Not TF_WORKSPACE, which means another state, nor TF_CLI_ARGS*, which means another command."""
GIT = ("GIT_CONFIG_*", "GIT_SSH", "GIT_SSH_COMMAND", "SSH_AUTH_SOCK")
"""Not GIT_DIR and its like, which a hook of git sets: they lead to another repository, or another index."""
INSTALLER = ("UV_*", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR")
"""For `inv`, which has a list of its own of what reaches pip and uv."""
RUNNER = ("CI", "GITHUB_*")
EDITING = ("EDITOR", "VISUAL", "PAGER", "LESS", "LESSCHARSET", "INPUTRC")
CLIENTS = (
    *("PSQLRC", "PSQL_*", "PG_COLOR", "PG_COLORS"),
    *("REDISCLI_HISTFILE", "REDISCLI_RCFILE", "VALKEYCLI_HISTFILE", "VALKEYCLI_RCFILE"),
)
"""How a person likes psql and redis-cli. Not PGHOST, PGOPTIONS or *_AUTH: another server, or another login."""
OURS = ("STACKHAND_*",)

REACHES: Mapping[str, tuple[str, ...]] = {
    "ansible": (
        *(*PERSON, *NETWORK, *CERTIFICATES, *DOCKER, *COMPOSE, *AWS, *TERRAFORM, *GIT, *RUNNER, *OURS),
        *INSTALLER,
    ),
    "docker": (*PERSON, *NETWORK, *CERTIFICATES, *DOCKER, *AWS),
    "compose": (*PERSON, *NETWORK, *CERTIFICATES, *DOCKER, *AWS, *COMPOSE),
    "terraform": (*PERSON, *NETWORK, *CERTIFICATES, *AWS, *TERRAFORM, "SSH_AUTH_SOCK", "STACKHAND_TERRAFORM_*"),
    "session-manager": (*PERSON, *NETWORK, *CERTIFICATES, *AWS),
    "git": (*PERSON, *GIT),
    "client": (*PERSON, *EDITING, *CLIENTS),
    "shell": (*PERSON, *EDITING, "SSH_AUTH_SOCK"),
    "service": ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    "server": ("PATH", *LOADER),
    "emulator": (*PERSON, *NETWORK, *CERTIFICATES, *DOCKER),
    "rehearsal": (*PERSON, *NETWORK, *CERTIFICATES, *DOCKER, *OURS, *INSTALLER, *TERRAFORM_ITSELF),
}
"""Names, and patterns of names, by program; `client` is psql and its like, `server` what supervisord starts."""
FOREIGN = ("INVOKE_*", "PYTHON*")
"""What would change our own process."""
WITH_COMPOSE_FILE = frozenset({"ansible", "compose"})
"""What also gets the variables that the project's own files name: the shell wins over `.env`, as in Compose."""
NEVER_OF_THE_FILE = ("ANSIBLE_*", "PYTHON*", "COMPOSE_*", "LD_*")


def environment(program: str, root: Path = PROJECT, /, **ours: str) -> dict[str, str]:
    """Return the environment for a program of REACHES: what of the user's shell reaches it, and what we add to that."""
    named = _named(root) if program in WITH_COMPOSE_FILE else frozenset()
    of_files = {name: value for name, value in os.environ.items() if name in named}
    return {**allowed(program), **of_files, **ours}


def allowed(program: str) -> dict[str, str]:
    """Return what of the user's shell reaches a program whatever the project's own files name."""
    patterns = (*REACHES[program], *os.environ.get("STACKHAND_PASS", "").replace(",", " ").split())
    return {name: value for name, value in os.environ.items() if _any(patterns, name)}


def loader() -> dict[str, str]:
    """Return where shared libraries are, for what gets an environment of its own."""
    return {name: value for name, value in os.environ.items() if _any(LOADER, name)}


def drop_foreign() -> None:
    """Forget what would change our own process."""
    for name in [name for name in os.environ if _any(FOREIGN, name)]:
        del os.environ[name]


def _named(root: Path) -> frozenset[str]:
    """Return the variables that the project's own files name."""
    return frozenset(name for name in passthrough.names(root) if not _any(NEVER_OF_THE_FILE, name))


def _any(patterns: tuple[str, ...], name: str) -> bool:
    """Whether one of the patterns means a name; most are a name or how some begin, and fnmatch is slow."""
    names, starts, others = _sorted(patterns)
    return name in names or name.startswith(starts) or any(fnmatchcase(name, each) for each in others)


@cache
def _sorted(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """Return the patterns that are names, the beginnings of those that are no more, and the others."""
    names = frozenset(each for each in patterns if "*" not in each)
    starts = tuple(each[:-1] for each in patterns if each.endswith("*") and each[:-1].isidentifier())
    return names, starts, tuple(each for each in patterns if each not in names and each[:-1] not in starts)
