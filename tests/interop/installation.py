"""Fetches the peers from their registries into ``.nexus/test``, once for each version.

Nothing fetched is ever part of the repository. What is fetched, and that it is the same as last
time, is fixed by the lock files beside the peers.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"
_CACHE = ROOT / ".nexus/test/peers"

TCK = "github.com/joyautomation/sparkplug-tck-go/cmd/sparkplug-tck"
TCK_VERSION = "v0.1.2"

_WITHHELD = ("403 Forbidden", "404 Not Found", "410 Gone")


class NotInstalledError(Exception):
    """A peer, or the tool that installs it, is not to be had here; the message says what."""


class WithheldError(Exception):
    """A registry answered, and does not give out what was asked for."""


def npm_peer(name: str = "node") -> Path:
    """Return the node_modules folder with the packages of one of the peers' folders."""
    _need("node", "npm")
    sources = [PEERS / name / file for file in ("package.json", "package-lock.json")]

    def install(folder: Path) -> None:
        for source in sources:
            shutil.copy(source, folder)
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        _run(("npm", "ci", *options), folder)

    return _once(name, sources, install) / "node_modules"


def python_peer(name: str) -> Path:
    """Return the interpreter of the environment that has this PyPI package."""
    lock = PEERS / f"requirements-peer-{name}.lock"

    def install(folder: Path) -> None:
        _run((sys.executable, "-m", "venv", str(folder / "venv")), folder)
        pip = (str(folder / "venv/bin/python"), "-m", "pip", "install", "-q", "--no-deps")
        _run((*pip, "--require-hashes", "-r", str(lock)), folder)

    return _once(name, [lock], install) / "venv/bin/python"


def maven_peer(name: str) -> str:
    """Return the class path with the mains of one of the peers' folders and all they need."""
    _need("java", "mvn")
    project = PEERS / name
    sources = sorted(path for path in project.rglob("*") if path.suffix in {".java", ".xml"})

    def install(folder: Path) -> None:
        maven = ("mvn", "-q", "-B", "-f", str(project / "pom.xml"), f"-Dpeers.build={folder}")
        _run((*maven, "compile"), folder)

    folder = _once(name, sources, install)
    return f"{folder / 'classes'}:{folder / 'lib'}/*"


def sparkplug_tck() -> Path:
    """Return the conformance harness: the one named or on the PATH, else fetched with Go.

    Raises:
        NotInstalledError: there is no Go, or no network.
        WithheldError: the Go module proxy does not give it out.
    """
    if at_hand := os.environ.get("NEXUS_TEST_SPARKPLUG_TCK") or shutil.which("sparkplug-tck"):
        return Path(at_hand)
    _need("go")

    def install(folder: Path) -> None:
        _run(("go", "install", f"{TCK}@{TCK_VERSION}"), folder, {"GOBIN": str(folder)})

    return _once(f"sparkplug-tck-{TCK_VERSION}", [], install) / "sparkplug-tck"


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise NotInstalledError(f"{program} is not on the PATH")


def _once(name: str, sources: Sequence[Path], install: Callable[[Path], None]) -> Path:
    """Install into a folder named by what is installed, unless that is done already."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    folder = _CACHE / f"{name}-{digest}"
    complete = folder / ".complete"
    with _alone(name):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            install(folder)
            complete.touch()
    return folder


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep a second test run from installing the same peer at the same time."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        message = (
            f"{' '.join(command)} failed: {said.splitlines()[-1].strip() if said else 'no reason'}"
        )
        if any(answer in said for answer in _WITHHELD):
            raise WithheldError(message)
        raise NotInstalledError(message)
