"""A child process ends for certain, and its end is told in words."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from deploy.local.process import Process, ProcessError, describe_exit, wait_until

PRINT_AND_FAIL = [sys.executable, "-c", "print('the disk is full'); raise SystemExit(3)"]
IGNORE_SIGTERM = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


def is_running(pid: int) -> bool:
    try:
        # A killed orphan may wait for its reaper as a zombie, which holds nothing any more.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="thing: /nowhere/thing cannot be started"):
        Process("thing", ["/nowhere/thing"], log=tmp_path / "log")


def test_an_early_end_is_told_with_the_last_words(tmp_path: Path) -> None:
    process = Process("thing", PRINT_AND_FAIL, log=tmp_path / "log")
    with pytest.raises(ProcessError, match=r"thing ended with status 3(.|\n)*the disk is full"):
        wait_until(lambda: False, process, timeout_s=20, what="be ready")


def test_waiting_has_an_end(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        Process("thing", argv, log=tmp_path / "log") as process,
        pytest.raises(ProcessError, match=r"thing did not be ready within 0\.1 s"),
    ):
        wait_until(lambda: False, process, timeout_s=0.1, what="be ready")


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = Process("thing", [sys.executable, "-c", IGNORE_SIGTERM], log=log)
    wait_until(lambda: log.read_text().endswith("\n"), process, timeout_s=20, what="print")
    child = int(log.read_text())
    assert not process.stop(grace_s=0.2)
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)
    assert not is_running(process.pid)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from deploy.local.process import Process\n"
        "argv = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "child = Process('child', argv, log=Path(sys.argv[1]))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "log"
    argv = [sys.executable, "-c", parent, str(tmp_path / "child.log")]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    process = Process("parent", argv, log=log, env=env)
    wait_until(lambda: log.read_text().endswith("\n"), process, timeout_s=20, what="print")
    child = int(log.read_text())
    process.ask(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)
    process.stop()


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "ended with status 0"), (-15, "was ended by SIGTERM"), (-99, "was ended by signal 99")],
)
def test_an_exit_status_is_told_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words
