"""`./inv`, the sh wrapper: on machines that lack something, and on those that do not."""

from __future__ import annotations

import http.server
import os
import pwd
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import accounts
from tests.checkout import ROOT, Checkout, Said, clean_environment
from tests.leaks import Leaks
from tests.tls import Authority

TOOLS = (
    "sh",
    "dash",
    "awk",
    "cat",
    "chown",
    "cmp",
    "cp",
    "dirname",
    "env",
    "grep",
    "id",
    "ln",
    "ls",
    "mkdir",
    "rm",
    "sed",
    "sleep",
    "tail",
    "touch",
)


@pytest.fixture
def bare(folder: Path) -> Checkout:
    """A copy of the checkout without an environment."""
    checkout = Checkout.make(folder / "bare checkout with ümlaut")
    (checkout.path / ".venv").unlink()
    return checkout


@pytest.fixture(scope="module")
def installed() -> Iterator[tuple[Checkout, list[str]]]:
    """A copy with an environment of its own, made by two first calls at once, an up and another; and what each said."""
    place = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    place.chmod(0o755)
    checkout = Checkout.make(place / "its own")
    (checkout.path / ".venv").unlink()
    leaks = Leaks(checkout)
    calls = (["up", "--engine", "embedded"], ["--version"])
    children = [
        subprocess.Popen(
            ["sh", "./inv", *words],
            cwd=checkout.path,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=0,
        )
        for words in calls
    ]
    said = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert "is up, on embedded" in said[0][0]
    yield checkout, [err for _, err in said]
    checkout.inv("down", "--volumes", "--yes", check=False)
    leaks.check()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def tools(folder: Path) -> Path:
    """A PATH with the tools that every Unix has, and no Python."""
    place = folder / "bin"
    place.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (place / name).symlink_to(found)
    return place


def run(checkout: Checkout, *words: str, shell: str = "dash", **env: str) -> Said:
    said = subprocess.run(
        [shutil.which(shell) or shell, "./inv", *words],
        cwd=checkout.path,
        env=clean_environment(**env),
        capture_output=True,
        text=True,
        check=False,
    )
    return Said(said.returncode, said.stdout, said.stderr)


def stub(place: Path, name: str, script: str) -> Path:
    path = place / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def real_python() -> str:
    """The Python that made our own environment."""
    return os.path.realpath(ROOT / ".venv" / "bin" / "python")


@pytest.fixture
def stubs(tools: Path) -> Path:
    """A PATH with a uv that makes an environment in no time, whose Python shows the variables it was given."""
    stub(tools, "python3", f'exec {real_python()} "$@"')
    python = stub(tools, "shows", 'case "$1" in -c) dirname "$0" ;; *) exec env ;; esac')
    stub(tools, "uv", f'[ "$1" = venv ] || exit 0; shift 4; mkdir -p "$1/bin"; cp {python} "$1/bin/python"')
    return tools


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_inv_changes_no_exported_variable(bare: Checkout, stubs: Path, shell: str) -> None:
    words = set(re.findall(r"\b[a-z]\w*\b", (ROOT / "inv").read_text(encoding="utf-8")))
    theirs = {word: f"their {word}" for word in words}
    environment = clean_environment(PATH=str(stubs)) | theirs
    for made in (True, False):
        argv = [str(shutil.which(shell)), "./inv", "up"]
        said = subprocess.run(argv, cwd=bare.path, env=environment, capture_output=True, text=True, check=True)
        assert ("installing" in said.stderr) is made
        shown = dict(line.partition("=")[::2] for line in said.stdout.splitlines())
        assert {word: shown.get(word) for word in words if shown.get(word) != theirs[word]} == {}


def test_read_only_file_system_is_reported(bare: Checkout) -> None:
    accounts.require_root()
    script = 'mount --bind . . && mount -o remount,bind,ro "$PWD" && cd "$PWD" && exec ./inv up'
    words = ["unshare", "--mount", "sh", "-c", script]
    said = subprocess.run(words, cwd=bare.path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert said.returncode == 3
    assert f"cannot write to {bare.path}: it is on a file system that is mounted read-only." in said.stderr
    assert "chown" not in said.stderr


def test_path_with_blanks_is_quoted_in_suggested_command(bare: Checkout) -> None:
    accounts.require_root()
    said = accounts.inv(bare, "up")
    assert said.code == 3
    assert f"sudo chown -R {accounts.NAME}: '{bare.path}', or run the command with sudo." in said.err
    quoted = bare.path.with_name("it's")
    bare.path.rename(quoted)
    given = accounts.inv(Checkout(quoted, bare.ports), "up").err.partition("nobody: ")[2].partition(", or")[0]
    assert subprocess.check_output(["sh", "-c", f"printf %s {given}"], text=True) == str(quoted)


def test_account_without_name_is_reported_by_uid(bare: Checkout) -> None:
    accounts.require_root()
    words = ["setpriv", "--reuid=42427", "--clear-groups", "./inv", "up"]
    said = subprocess.run(words, cwd=bare.path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert said.stderr.splitlines()[0].endswith("it belongs to root, and you are 42427.")


def test_root_without_cap_chown_warns_and_continues(bare: Checkout, stubs: Path) -> None:
    accounts.require_root()
    os.chown(bare.path, pwd.getpwnam(accounts.NAME).pw_uid, -1)
    setpriv = shutil.which("setpriv")
    words = [str(setpriv), "--bounding-set=-chown", "--inh-caps=-chown", "./inv", "up"]
    environment = clean_environment(PATH=str(stubs))
    said = subprocess.run(words, cwd=bare.path, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0
    assert "stays root's, for this root may not hand it" in said.stderr
    assert "chown:" not in said.stderr


def test_missing_python_is_reported_with_fix(bare: Checkout, tools: Path) -> None:
    said = run(bare, "up", PATH=str(tools))
    assert said.code == 3
    assert "needs Python 3.11 or newer, and found none: there is no python3 on PATH" in said.err
    assert "STACKHAND_PYTHON=" in said.err


def test_old_python_is_reported_with_its_version(bare: Checkout, tools: Path) -> None:
    old = stub(tools, "python3", 'case "$2" in *version_info\\[:3\\]*) echo 3.9.2 ;; *) exit 1 ;; esac')
    said = run(bare, "up", PATH=str(tools))
    assert said.code == 3
    assert f"found none: {old} is 3.9.2;" in said.err


def test_missing_venv_module_is_reported_with_package(bare: Checkout, tools: Path) -> None:
    stub(tools, "python3", f'case "$2" in *ensurepip*) exit 1 ;; *) exec {real_python()} "$@" ;; esac')
    said = run(bare, "up", PATH=str(tools))
    assert said.code == 3
    assert "has no venv module (or no ensurepip), and uv is not on PATH" in said.err
    assert "apt install python3-venv" in said.err


def test_broken_venv_module_leaves_nothing_behind(bare: Checkout, tools: Path) -> None:
    broken = 'echo "Error: Command [python, -m, ensurepip] returned non-zero exit status 1." >&2; exit 1'
    stub(tools, "python3", f'case "$*" in *"-m venv"*) {broken} ;; *) exec {real_python()} "$@" ;; esac')
    said = run(bare, "up", PATH=str(tools))
    assert said.code == 3
    assert "is broken or incomplete" in said.err
    assert not (bare.path / ".venv").exists()


def test_missing_network_is_reported_with_settings(bare: Checkout, folder: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    said = run(
        bare,
        "up",
        HOME=str(folder),
        HTTPS_PROXY=nowhere,
        HTTP_PROXY=nowhere,
        PIP_INDEX_URL=f"{nowhere}/simple",
        UV_DEFAULT_INDEX=f"{nowhere}/simple",
        PIP_RETRIES="0",
        UV_HTTP_RETRIES="0",
        PIP_NO_CACHE_DIR="1",
        UV_NO_CACHE="1",
        PIP_CONFIG_FILE="/dev/null",
    )
    assert said.code == 3
    assert "the package index could not be reached" in said.err
    assert "HTTPS_PROXY" in said.err
    assert "the whole log:" in said.err


CERTIFICATE = "signed by nobody whom this machine trusts"
NETWORK = "the package index could not be reached"
NOT_THERE = "the package index has no such package"
HASH = "is not the one requirements.lock names"
DISK = "the disk is full"
UV = "error: Failed to fetch: https://localhost/simple/uv/\n  cause: error sending request for url\n  cause: "
NO_WHEEL = "Because tiny==1 has no wheels with a matching Python implementation tag (e.g., `cp311`)"
NO_MUSL = "Because tiny==1 has no wheels with a matching platform tag (e.g., `musllinux_1_2_x86_64`)"
PIP_TLS = "Could not fetch URL https://localhost/uv/: There was a problem confirming the ssl certificate: - skipping\n"


def pip_found(versions: str) -> str:
    """Return what pip says when the version of the lock is not among those it found."""
    first = f"ERROR: Could not find a version that satisfies the requirement uv==1 (from versions: {versions})"
    return f"{first}\nERROR: No matching distribution found for uv==1"


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (f"{UV}invalid peer certificate: UnknownIssuer", CERTIFICATE),
        (f"{UV}invalid peer certificate: Expired", CERTIFICATE),
        (f"{UV}tcp connect error\n  cause: Connection refused (os error 111)", NETWORK),
        (f"{UV}dns error\n  cause: failed to lookup address information: Name or service not known", NETWORK),
        (f"{UV}HTTP status client error (403 Forbidden) for url", "was reached, and refused"),
        (
            "error: Failed to download `tiny==1`\n  cause: Hash mismatch for `tiny==1`\n\n  Expected:\n    sha256:0",
            HASH,
        ),
        (f"error: No solution found when resolving dependencies\n  cause: {NO_WHEEL}", NOT_THERE),
        (f"error: No solution found when resolving dependencies\n  cause: {NO_MUSL}", "C library is musl"),
        ("error: Failed to install\n  cause: Failed to copy: No space left on device (os error 28)", DISK),
        ("error: Failed to create\n  cause: Read-only file system (os error 30)", "a file system is mounted read-only"),
        ("error: Failed to query Python\n  cause: Permission denied (os error 13)", "may not be written or read by"),
        (f"{PIP_TLS}{pip_found('none')}", CERTIFICATE),
        (pip_found("none"), NETWORK),
        (pip_found("0.1, 0.2"), NOT_THERE),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    uv==1 from x", HASH),
        ("WARNING: Retrying: Connection refused\nError: [Errno 28] No space left on device", DISK),
        ("error: connection refused\nretrying\nerror: Hash mismatch for `tiny==1`", HASH),
        ("something else altogether", "the environment could not be made"),
    ],
)
def test_failed_installation_reports_cause_of_last_error(bare: Checkout, tools: Path, log: str, sentence: str) -> None:
    (tools / "log").write_text(log)
    failing = f"cat {tools}/log >&2; exit 1"
    stub(tools, "python3", f'case "$*" in *"-m venv"*) {failing} ;; *) exec {real_python()} "$@" ;; esac')
    said = run(bare, "up", PATH=str(tools))
    assert said.code == 3
    assert sentence in said.err
    assert log.splitlines()[-1] in said.err


def test_untrusted_certificate_is_reported_with_setting(bare: Checkout, tools: Path, folder: Path) -> None:
    (tools / "uv").symlink_to(ROOT / ".venv" / "bin" / "uv")
    stub(tools, "python3", f'exec {real_python()} "$@"')
    certificate, key = Authority.make().issue(folder, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index = f"https://127.0.0.1:{server.server_port}/simple"
        hostile = {"PIP_TARGET": "/gone", "UV_SYSTEM_PYTHON": "1", "PYTHONPATH": "/gone", "NO_PROXY": "127.0.0.1"}
        more = {"UV_DEFAULT_INDEX": index, "UV_NO_CACHE": "1", "UV_HTTP_RETRIES": "0", "SSL_CERT_FILE": "/gone.pem"}
        said = run(bare, "up", PATH=str(tools), **hostile, **more)
        server.shutdown()
    assert said.code == 3
    assert CERTIFICATE in said.err
    assert "SSL_CERT_FILE names /gone.pem, and there is no such file." in said.err


def test_named_python_is_used(bare: Checkout, tools: Path) -> None:
    mine = stub(tools, "mine", 'echo "$@" >>"$0.log"; exit 1')
    run(bare, "up", PATH=str(tools), STACKHAND_PYTHON=str(mine))
    assert "sys.version_info" in (tools / "mine.log").read_text()


@pytest.mark.slow
def test_environment_is_rebuilt_only_when_lock_changes(
    installed: tuple[Checkout, list[str]],
) -> None:
    checkout, _ = installed
    assert run(checkout, "--version").err == ""
    with (checkout.path / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert "installing requirements.lock into .venv" in run(checkout, "--version").err
    assert run(checkout, "--version").err == ""


@pytest.mark.slow
def test_first_up_goes_on_and_its_environment_works_by_hand(installed: tuple[Checkout, list[str]]) -> None:
    checkout, _ = installed
    assert checkout.ask("/health/ready")[0] == 200

    def by_hand(program: str, *words: str) -> str:
        argv = [str(checkout.path / ".venv" / "bin" / program), *words]
        env = clean_environment()
        return subprocess.run(argv, cwd=checkout.path, env=env, capture_output=True, text=True, check=True).stdout

    up = by_hand("ansible-playbook", "playbooks/up.yml")
    assert all(name in up for name in ("postgres", "redis", "migrate", "api", "web"))
    assert "healthy" in by_hand("invoke", "status")
    assert "stopped: api, postgres, redis, web" in by_hand("ansible-playbook", "playbooks/down.yml")


@pytest.mark.slow
def test_editable_installation_and_plain_invoke_work(bare: Checkout, folder: Path) -> None:
    uv = [str(ROOT / ".venv" / "bin" / "uv")]
    environment = folder / "mine"
    subprocess.run([*uv, "venv", "-q", "--python", real_python(), str(environment)], check=True)
    python = str(environment / "bin" / "python")
    subprocess.run([*uv, "pip", "install", "-q", "--python", python, "-e", str(bare.path)], check=True)
    invoke = str(environment / "bin" / "invoke")
    for words in (["up", "--engine", "embedded"], ["status"], ["down"]):
        subprocess.run([invoke, *words], cwd=bare.path, env=clean_environment(), capture_output=True, check=True)


@pytest.mark.slow
def test_concurrent_first_calls_create_one_environment(installed: tuple[Checkout, list[str]]) -> None:
    checkout, said = installed
    assert sum("installing requirements.lock" in err for err in said) == 1
    assert sum("is making .venv; waiting for it" in err for err in said) == 1
    assert not (checkout.path / ".venv.lock").exists()


def writable_by_others(place: Path) -> list[str]:
    found = (each for each in place.rglob("*") if not each.is_symlink() and not each.is_socket())
    return [str(each.relative_to(place)) for each in found if each.stat().st_mode & 0o022]


@pytest.mark.slow
def test_environment_is_not_writable_by_others(
    installed: tuple[Checkout, list[str]],
) -> None:
    assert writable_by_others(installed[0].path) == []


def test_compiled_files_are_not_writable_by_others(checkout: Checkout) -> None:
    for words in (["./inv", "status"], [".venv/bin/python", "-m", "stackhand", "status"]):
        for compiled in list(checkout.path.rglob("__pycache__")):
            shutil.rmtree(compiled)
        subprocess.run(words, cwd=checkout.path, env=clean_environment(), check=False, umask=0, capture_output=True)
        assert (checkout.path / "stackhand" / "local" / "__pycache__").stat().st_mode & 0o777 == 0o755
        assert words[0] != "./inv" or writable_by_others(checkout.path) == []


def test_lock_of_ended_process_is_ignored(bare: Checkout, tools: Path) -> None:
    (bare.path / ".venv.lock").mkdir()
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    (bare.path / ".venv.lock" / "pid").write_text(f"{gone.pid}\n")
    assert "needs Python 3.11" in run(bare, "up", PATH=str(tools)).err


def test_lock_without_pid_of_ended_process_is_ignored(bare: Checkout, tools: Path) -> None:
    (bare.path / ".venv.lock").mkdir()
    (bare.path / ".venv.lock" / "pid").touch()
    assert "needs Python 3.11" in run(bare, "up", PATH=str(tools)).err


def test_link_from_elsewhere_is_refused_with_command(checkout: Checkout, folder: Path) -> None:
    (folder / "bin").mkdir()
    (folder / "bin" / "inv").symlink_to(checkout.path / "inv")
    said = subprocess.run([folder / "bin" / "inv", "up"], capture_output=True, text=True, check=False)
    assert said.returncode == 3
    assert "has neither stackhand.lock nor requirements.lock" in said.stderr
    assert [each.name for each in (folder / "bin").iterdir()] == ["inv"]


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_inv_runs_from_any_folder_under_any_posix_shell(checkout: Checkout, shell: str, folder: Path) -> None:
    said = subprocess.run(
        [shell, str(checkout.path / "inv"), "--version"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("stackhand ")


def test_locks_have_hashes_and_no_index_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index" not in text
        for entry in text.replace("\\\n", " ").splitlines():
            assert entry.startswith("#") or "--hash=sha256:" in entry, entry
