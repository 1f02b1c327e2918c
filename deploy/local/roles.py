"""The suite's own processes, each one of the commands that a user would start.

They get their settings through the environment, so that no secret stands on a command line.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.checkout import ROOT
from deploy.local.process import Process

_GRACE_S = 10

SETTINGS = (
    "NEXUS_DATABASE_URL",
    "NEXUS_MQTT_URL",
    "NEXUS_MQTT_USERNAME",
    "NEXUS_MQTT_PASSWORD",
    "NEXUS_TOPIC_PREFIX",
    "NEXUS_HOST_ID",
    "NEXUS_CONSOLE_PASSWORD",
    "NEXUS_HISTORY_URL",
)


class Roles:
    """Starts and ends roles by name.

    Args:
        folder: working directory of all; their logs go to ``log`` in it.
        say: receives a line about each step.
    """

    def __init__(self, folder: Path, log_level: str, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._log_level = log_level
        self._say = say
        self._running: dict[str, Process] = {}

    @property
    def running(self) -> Sequence[Process]:
        """What was started and not ended, in that order."""
        return list(self._running.values())

    def __contains__(self, name: str) -> bool:
        return name in self._running

    def __getitem__(self, name: str) -> Process:
        return self._running[name]

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        settings: Mapping[str, str | None],
        *,
        detail: str = "",
    ) -> Process:
        """Start one role with these settings alone.

        Raises:
            ProcessError: it could not be executed.
        """
        self._say(f"{name}: starting{detail}")
        environment = {k: v for k, v in os.environ.items() if not _is_setting(k)}
        environment |= {key: value for key, value in settings.items() if value}
        environment["PYTHONPATH"] = str(ROOT)
        argv = [sys.executable, "-P", "-m", "deploy.local.cli", "--log-level", self._log_level]
        process = Process(
            name,
            [*argv, *arguments],
            log=self._folder / "log" / f"{name.replace(' ', '-')}.log",
            env=environment,
            cwd=self._folder,
        )
        self._running[name] = process
        return process

    def end(self, name: str, *, grace_s: float = _GRACE_S) -> None:
        """End one role, if it runs: ask, wait at most ``grace_s``, then kill it."""
        process = self._running.pop(name, None)
        if process is None:
            return
        if process.poll() is not None:
            process.wait_ended(0)  # its end was told already; what it left behind goes
        elif not process.stop(grace_s=grace_s):
            self._say(f"{name}: did not end within {grace_s:g} s and was killed")
        elif process.poll():
            self._say(f"{name} ended badly{process.last_words()}")


def _is_setting(name: str) -> bool:
    return name.removesuffix("_FILE") in SETTINGS
