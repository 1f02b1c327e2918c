"""TimescaleDB as Debian ships it, in a root folder of its own, for the tests.

Debian 12 has no TimescaleDB; Debian 13 has. A minimal Debian 13 with PostgreSQL is unpacked by
debootstrap into a cache folder, from the mirror that apt uses on this machine, and its server is
run with chroot in a private mount namespace: nothing stays mounted and nothing is installed
system-wide. Only root on Debian can do it.
"""

import contextlib
import fcntl
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from deploy.local.database import Server
from deploy.local.process import Process, ProcessError

SUITE = "trixie"
_PACKAGE = "postgresql-17-timescaledb"
_PROGRAMS = "/usr/lib/postgresql/17/bin"
_RECIPE = 1
"""Raised when what is unpacked changes, so that older folders are not used."""

CACHE = Path("/var/cache/nexus-edge")


class TimescaleUnavailable(Exception):
    """This machine cannot have it; the message says why."""


def find_root() -> Path:
    """Return the unpacked Debian.

    Raises:
        TimescaleUnavailable: it is not there, or this account cannot run it.
    """
    root = CACHE / f"timescale-{SUITE}-{_RECIPE}"
    if os.geteuid() != 0:
        raise TimescaleUnavailable(
            "TimescaleDB runs in a root folder of its own, which only root can enter;"
            " expected root or NEXUS_TEST_TIMESCALE_URL"
        )
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        raise TimescaleUnavailable(
            "TimescaleDB runs in a mount namespace of its own, which this machine does not allow"
        )
    if not (root / _PROGRAMS.lstrip("/") / "postgres").exists():
        raise TimescaleUnavailable(
            f"TimescaleDB is not in {root}, expected `./nexus test` to have unpacked it there"
        )
    return root


def install_root(log: Path) -> Path:
    """Unpack it unless it is there; may take minutes.

    Raises:
        TimescaleUnavailable: not root, not Debian, or the packages could not be had.
    """
    with contextlib.suppress(TimescaleUnavailable):
        return find_root()
    if os.geteuid() != 0:
        raise TimescaleUnavailable("unpacking TimescaleDB needs root, found another account")
    if shutil.which("debootstrap") is None:
        raise TimescaleUnavailable("debootstrap is not installed, expected Debian's package")
    mirror = _find_mirror()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        # Two checkouts may set up at the same time; the second finds the first's work.
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(TimescaleUnavailable):
            return find_root()
        fresh = Path(tempfile.mkdtemp(prefix="unpacking-", dir=CACHE))
        fresh.chmod(0o755)
        argv = ["debootstrap", "--variant=minbase", f"--include={_PACKAGE}"]
        argv += [SUITE, str(fresh), mirror]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            run = subprocess.run(argv, stdout=output, stderr=output, check=False)
        if run.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            raise TimescaleUnavailable(
                f"debootstrap of {SUITE} ended with status {run.returncode}, its output is in {log}"
            )
        fresh.rename(CACHE / f"timescale-{SUITE}-{_RECIPE}")
    return find_root()


class TimescaleServer(Server):
    """A TimescaleDB server with a data folder of its own, which goes when it stops.

    Raises:
        TimescaleUnavailable: this machine does not have it.
    """

    def __init__(self, log: Path) -> None:
        super().__init__(user="postgres", password=secrets.token_urlsafe(18))
        self._root = find_root()
        self._log = log
        # As the server sees it; its process id tells later runs whether it is still in use.
        self._data = Path("/srv") / f"nexus-{os.getpid()}-{secrets.token_hex(4)}"

    def start(self) -> Self:
        """Make the data folder, start the server, wait until it answers.

        Raises:
            ProcessError: it does not start.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._sweep()
        outside = self._root / str(self._data).lstrip("/")
        outside.mkdir()
        password = outside / "password"
        password.touch(mode=0o600)
        password.write_text(self._password + "\n")
        owner, group = self._account()
        for path in (outside, password):
            os.chown(path, owner, group)
        settings = {
            "shared_preload_libraries": "timescaledb",
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "100",
            "timescaledb.telemetry_level": "off",
            "timezone": "UTC",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        data = f"{self._data}/data"
        initdb = [f"{_PROGRAMS}/initdb", "-D", data, "-U", self._user, "-E", "UTF8", "--no-sync"]
        initdb += ["--locale=C.UTF-8", "-A", "scram-sha-256", f"--pwfile={self._data}/password"]
        run = subprocess.run(self._inside(initdb), capture_output=True, text=True, check=False)
        password.unlink()
        if run.returncode:
            self.stop()
            raise ProcessError(f"timescaledb: initdb failed: {run.stderr.strip()}")
        argv = [f"{_PROGRAMS}/postgres", "-D", data]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        self._run(Process("timescaledb", self._inside(argv), log=self._log))
        return self

    def stop(self) -> None:
        """Stop it and remove its data."""
        super().stop()
        shutil.rmtree(self._root / str(self._data).lstrip("/"), ignore_errors=True)

    def _inside(self, argv: list[str]) -> list[str]:
        root = shlex.quote(str(self._root))
        script = (
            f"mount --rbind /proc {root}/proc && mount --rbind /dev {root}/dev &&"
            f' exec chroot --userspec=postgres:postgres {root} "$@"'
        )
        return ["unshare", "--mount", "sh", "-c", script, "sh", *argv]

    def _account(self) -> tuple[int, int]:
        for line in (self._root / "etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == "postgres":
                return int(fields[2]), int(fields[3])
        raise ProcessError(f"timescaledb: {self._root}/etc/passwd has no postgres account")

    def _sweep(self) -> None:
        # A run that was killed left its data behind.
        for leftover in (self._root / "srv").glob("nexus-*"):
            pid = int(leftover.name.split("-")[1])
            try:
                os.kill(pid, signal.SIG_DFL)  # signal 0 asks only whether it runs
            except ProcessLookupError:
                shutil.rmtree(leftover, ignore_errors=True)


def _find_mirror() -> str:
    if shutil.which("apt-get") is None:
        raise TimescaleUnavailable("the tests' TimescaleDB is Debian's, found no apt here")
    run = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL)|$(COMPONENT)|$(REPO_URI)"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in run.stdout.splitlines():
        label, component, address = line.split("|", 2)
        if label == "Debian" and component == "main":
            return address
    raise TimescaleUnavailable("apt knows no Debian mirror here, expected one for component main")
