"""The active harness of sparkplug-tck: a broker that records every packet, then grades the client.

It starts the harness, ends it and reads its verdicts; what the client under test does meanwhile is
the tests' business.
"""

import json
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_LISTENING = re.compile(r"listening on tcp://[^:]+:(\d+)")
_LIMIT_S = 110


@dataclass(frozen=True, slots=True)
class Grade:
    """What the harness says of one statement about one subject."""

    id: str
    status: str
    subject: str
    detail: str


class Harness:
    """The harness's broker, for one profile, until it is asked for its verdicts.

    Args:
        program: The sparkplug-tck executable.
        profile: ``edge-node`` or ``host-application``.
        log: File that takes its standard error.
    """

    def __init__(self, program: Path, profile: str, log: Path) -> None:
        argv = [str(program), "-harness", "-profile", profile, "-json"]
        argv += ["-listen", "127.0.0.1:0", "-duration", f"{_LIMIT_S}s"]
        self._process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._log = log
        assert self._process.stderr is not None
        heard = self._process.stderr.readline()
        found = _LISTENING.search(heard)
        assert found, f"sparkplug-tck: found {heard!r}, expected the address it listens on"
        self.port = int(found.group(1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def grade(self) -> Mapping[str, list[Grade]]:
        """End the recording and return the grades by statement, without the ``tck-id-`` prefix."""
        self._process.send_signal(signal.SIGINT)
        stdout, stderr = self._process.communicate(timeout=30)
        self._log.write_text(stdout + stderr)
        grades: dict[str, list[Grade]] = {}
        for result in json.loads(stdout):
            grade = Grade(
                result["assertion_id"].removeprefix("tck-id-"),
                result["status"],
                result.get("subject", ""),
                result.get("detail", ""),
            )
            grades.setdefault(grade.id, []).append(grade)
        return grades
