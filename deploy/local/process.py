"""One child process of the stack: started in its own group, ended for certain, its last words kept.

It knows nothing of what runs in the process.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1


class ProcessError(Exception):
    """A process did not start, or ended when it should not have."""


class Process:
    """A running child.

    Args:
        name: what messages call it.
        argv: command line; secrets do not belong here.
        log: file that receives what it prints.
        env: whole environment; this process's when absent.
        user: account to run as, only as root.
        cwd: working directory.

    Raises:
        ProcessError: the program could not be executed.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: pwd.struct_passwd | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            try:
                self._popen = subprocess.Popen(
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=None if env is None else dict(env),
                    cwd=cwd,
                    start_new_session=True,
                    user=None if user is None else user.pw_uid,
                    group=None if user is None else user.pw_gid,
                    extra_groups=None if user is None else [],
                    preexec_fn=_die_with_parent,  # noqa: PLW1509  # one prctl call, async-signal-safe
                )
            except OSError as exc:
                raise ProcessError(
                    f"{name}: {argv[0]} cannot be started: {exc.strerror or exc}"
                ) from exc
        self.argv = tuple(argv)

    @property
    def pid(self) -> int:
        """Process id, which is the process group's id too."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while it runs."""
        return self._popen.poll()

    def check(self) -> None:
        """Raise ProcessError, with its last words, if it has ended."""
        status = self.poll()
        if status is not None:
            raise ProcessError(f"{self.name} {describe_exit(status)}{self.last_words()}")

    def last_words(self, lines: int = 8) -> str:
        """Return where its output is and the end of it, ready to follow a message."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        tail = [f"  | {line}" for line in text.strip().splitlines()[-lines:]]
        return "\n".join([f"; its output is in {self.log}", *tail])

    def stop(self, *, grace_s: float = 10.0, signum: int = signal.SIGTERM) -> bool:
        """End it: ask, wait at most ``grace_s``, then kill its group.

        Returns:
            Whether it ended without being killed.
        """
        self.ask(signum)
        return self.wait_ended(grace_s)

    def ask(self, signum: int = signal.SIGTERM) -> None:
        """Send a signal to the process alone."""
        if self.poll() is None:
            self._popen.send_signal(signum)

    def wait_ended(self, grace_s: float) -> bool:
        """Wait at most ``grace_s`` seconds for its end, then kill its group; was it by itself?"""
        try:
            self._popen.wait(grace_s)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        # Whatever it started and left behind goes with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def describe_exit(status: int) -> str:
    """Return an exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def wait_until(
    ready: Callable[[], bool],
    process: Process,
    *,
    timeout_s: float,
    what: str,
    poll_s: float = 0.02,
) -> None:
    """Wait until ``ready()`` is true.

    Raises:
        ProcessError: the process ended first, or the time was up.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        process.check()
        if time.monotonic() > deadline:
            raise ProcessError(
                f"{process.name} did not {what} within {timeout_s:g} s{process.last_words()}"
            )
        time.sleep(poll_s)


def _die_with_parent() -> None:
    # The parent may be killed with no chance to clean up; on Linux the kernel then ends the child.
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


try:
    _libc: ctypes.CDLL | None = ctypes.CDLL(None)
    getattr(_libc, "prctl")  # noqa: B009  # ctypes looks the symbol up at attribute access
except (OSError, AttributeError):
    _libc = None
