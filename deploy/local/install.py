"""Make the checkout ready to run: ``.venv`` from the hashed lock files, the console from web/ui.

Run by the launcher with the machine's own Python, so it stands on the standard library alone.
Nothing is done when nothing changed; two starts at once wait for each other.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.checkout import ROOT, STATE
from deploy.local.console_build import ConsoleError, build_console, needs_console

VENV = ROOT / ".venv"
LOG = STATE / "log" / "pip.log"

_LOCKS = {
    "runtime": ROOT / "requirements.lock",
    "demo": ROOT / "requirements-demo.lock",
    "test": ROOT / "requirements-test.lock",
}
"""Each holds everything of those before it."""

_LEVELS = {
    "demo": "demo",
    "bench": "demo",
    "test": "test",
    "lock": "test",
    "generate": "test",
    "reference": "test",
    "conformance": "test",
}
_OPTIONS_WITH_VALUE = {"--log-level", "--log-format"}

_UNREACHABLE = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "nodename nor servname",
    "NewConnectionError",
    "Network is unreachable",
    "Connection refused",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Read timed out",
    "ProxyError",
)


class InstallError(Exception):
    """The environment could not be made; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a command line needs before it can run."""

    level: str
    console: bool


def read_wanted(arguments: Sequence[str]) -> Wanted:
    """Tell from the command line what must be there."""
    words = iter(arguments)
    command = ""
    for word in words:
        if word in _OPTIONS_WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            command = word
            break
    if {"-h", "--help"} & set(arguments):
        return Wanted("runtime", console=False)
    return Wanted(_LEVELS.get(command, "runtime"), console=command in {"demo", "host", "test"})


def explain_pip(output: str, log: Path) -> str:
    """Return what to do about a pip run that failed."""
    if any(sign in output for sign in _UNREACHABLE):
        advice = (
            "the package index could not be reached. Check the network"
            " (behind a proxy: HTTPS_PROXY; with a mirror: PIP_INDEX_URL) and start again"
        )
    elif "DO NOT MATCH THE HASHES" in output:
        advice = (
            "a downloaded package is not the one that the lock file names, so nothing of it was"
            " installed. Check the mirror or proxy between this machine and the index"
        )
    elif "No space left on device" in output:
        advice = "the disk is full. Make room (about 1 GB) and start again"
    elif "Permission denied" in output:
        advice = (
            f"{VENV} belongs to someone else. Start as its owner, or use a checkout of your own"
        )
    else:
        last = [line for line in output.splitlines() if line.strip()][-3:]
        advice = "pip failed:\n" + "\n".join(f"  | {line}" for line in last)
    return f"{advice}\nnexus: pip's output is in {log}"


def ensure_environment(level: str) -> None:
    """Make .venv and install a level's lock file, unless both are as they should be.

    Raises:
        InstallError: Python lacks venv, or pip failed.
    """
    if _installed(level):
        return
    with _locked():
        if _installed(level):  # by the start that held the lock before us
            return
        _make_venv()
        _install(level)


def _installed(level: str) -> bool:
    try:
        stamps = json.loads((VENV / "nexus.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(stamps.get(level) == _digest(_LOCKS[level]) and (VENV / "bin/python").exists())


def _make_venv() -> None:
    python = VENV / "bin/python"
    if python.exists():
        run = subprocess.run([python, "-c", "import pip"], capture_output=True, check=False)
        if run.returncode == 0:
            return
    _say(f"making {VENV} with Python {sys.version.split()[0]}")
    try:
        import ensurepip  # noqa: F401, PLC0415  # Debian packages it apart
        import venv  # noqa: PLC0415
    except ImportError as exc:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        raise InstallError(
            f"{sys.executable} cannot make virtual environments ({exc}). Install its venv module"
            f" (Debian, Ubuntu: apt-get install {name}) and start again"
        ) from exc
    try:
        venv.create(VENV, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        shutil.rmtree(VENV, ignore_errors=True)
        raise InstallError(f"{VENV} could not be made: {exc}") from exc


def _install(level: str) -> None:
    lock = _LOCKS[level]
    total = sum("==" in line and not line.startswith(("#", " ")) for line in _lines(lock))
    _say(f"installing {total} packages from {lock.name}")
    started = time.monotonic()
    LOG.parent.mkdir(parents=True, exist_ok=True)
    argv = [str(VENV / "bin/python"), "-m", "pip", "install", "--require-hashes", "--no-input"]
    argv += ["--disable-pip-version-check", "--progress-bar=off", "--retries=2", "-r", str(lock)]
    seen = 0
    output: list[str] = []
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PIP_USER"}}
    with (
        LOG.open("w") as log,
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
        ) as pip,
    ):
        for line in pip.stdout or ():
            log.write(line)
            output.append(line)
            if line.startswith(("Collecting ", "Requirement already satisfied")):
                seen += 1
                _progress(f"{min(seen, total)} of {total} fetched")
            elif line.startswith("Installing collected"):
                _progress("unpacking")
    _progress("")
    if pip.returncode:
        raise InstallError(explain_pip("".join(output), LOG))
    levels = list(_LOCKS)
    done = {name: _digest(_LOCKS[name]) for name in levels[: levels.index(level) + 1]}
    stamp = VENV / "nexus.json"
    fresh = stamp.with_suffix(".new")
    fresh.write_text(json.dumps(done))
    fresh.replace(stamp)
    _say(f"installed in {time.monotonic() - started:.0f} s")


def _locked() -> "_Lock":
    return _Lock(STATE / "install.lock")


class _Lock:
    """Held by one start at a time; the kernel frees it when its process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w")

    def __enter__(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another start is installing, waiting for it")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _say(text: str) -> None:
    print(f"nexus: {text}", file=sys.stderr, flush=True)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Make everything ready that the command line needs; return the exit status."""
    wanted = read_wanted(sys.argv[1:])
    try:
        ensure_environment(wanted.level)
        if wanted.console and needs_console():
            with _locked():
                if needs_console():
                    build_console(VENV, _say)
    except (InstallError, ConsoleError) as exc:
        _say(str(exc))
        return 1
    except OSError as exc:
        _say(f"{exc.filename or ROOT}: {exc.strerror}. Expected a checkout that you may write to")
        return 1
    except KeyboardInterrupt:
        _progress("")
        _say("interrupted; start again to go on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
