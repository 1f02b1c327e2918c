"""A foreign Sparkplug implementation under test control: a process that speaks the line protocol.

Orders go in on stdin, events come out on stdout, one JSON object a line. What the events mean is
the tests' business.
"""

import json
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

Event = dict[str, Any]


class Peer:
    """One running peer.

    Args:
        name: What failures call it.
        command: How to start it.
        log: File that takes its standard error.
        environment: Its whole environment.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self._log = log
        self._events: list[Event] = []
        self._next = 0
        self._news = threading.Condition()
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=dict(environment),
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def order(self, do: str, **fields: Any) -> None:
        """Send one order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self._process.stdin.flush()

    def wait(self, *kinds: str, timeout_s: float = 15, **expected: Any) -> Event:
        """Return the next event of one of these kinds with these fields, skipping all before it.

        Raises:
            AssertionError: none came in time; tells what came instead.
        """
        deadline = time.monotonic() + timeout_s
        with self._news:
            while True:
                for position in range(self._next, len(self._events)):
                    found = self._events[position]
                    if found["event"] in kinds and _has(found, expected):
                        self._next = position + 1
                        return found
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    raise AssertionError(self._disappointment(kinds, expected, timeout_s))

    def wait_value(self, device: str | None, metric: str, value: object) -> Event:
        """Return the next birth or data in which this metric has this value."""
        while True:
            event = self.wait("birth", "data", device=device)
            if event["metrics"].get(metric) == value:
                return event

    def kill(self) -> None:
        """End the process without giving it a chance to say goodbye."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Order it to stop; kill it when it does not."""
        if self._process.poll() is None:
            try:
                self.order("stop")
                self._process.wait(10)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self.kill()
        self._reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # an order that nobody will read any more

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            with self._news:
                self._events.append(event)
                self._news.notify_all()

    def _disappointment(self, kinds: Sequence[str], expected: Event, timeout_s: float) -> str:
        log = self._log.read_text(errors="replace")[-2000:]
        seen = "\n  ".join(json.dumps(e)[:300] for e in self._events[self._next :])
        return (
            f"{self.name}: found no {' or '.join(kinds)} {expected} within {timeout_s} s, but\n"
            f"  {seen}\nexit {self._process.poll()}, log:\n{log}"
        )


def _has(found: Event, expected: Event) -> bool:
    return all(found.get(key) == value for key, value in expected.items())
