"""Configuration that changes while a node runs: noticed, checked aside, then applied.

Checking a large plant takes seconds, so it is done in a thread; polling goes on. Whatever is wrong
is logged and told in the status document, and changes nothing.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVarTuple

import structlog
import trio

from edge_node.config import parse, read
from edge_node.configuration import Configuration
from edge_node.desired import Desired
from edge_node.errors import ConfigurationRejected
from edge_node.remote_devices import RemoteDevices
from proto.control.status import ConfigurationStatus, DeviceStatus

_Args = TypeVarTuple("_Args")

WATCH_INTERVAL_S: Final = 1.0

_SWITCH_INTERVAL_S: Final = 0.0005
"""A thread gives the interpreter back after so long while there is polling to be done; Python's
own 5 ms would add up to seconds with each message of each poll."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """The file of a node that runs.

    Attributes:
        watch: whether to look for changes of it.
    """

    path: Path
    watch: bool = False


class Reloader:
    """Takes what is to be and has it become so.

    Args:
        configuration: of the file alone.
        file: where it was read, ``None`` when it does not change.
        remote: takes documents from elsewhere, ``None`` where they are not taken.
        apply: has another configuration run.
        on_change: called when the status is another.
        now_ms: wall clock, milliseconds since the epoch.

    Raises:
        StateUnavailable: the devices that were kept cannot be read.
    """

    def __init__(
        self,
        configuration: Configuration,
        file: ConfigurationFile | None,
        remote: RemoteDevices | None,
        *,
        apply: Callable[[Configuration], Awaitable[None]],
        on_change: Callable[[], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._file = file
        self._apply = apply
        self._on_change = on_change
        self._now_ms = now_ms
        self._remote = remote
        desired = Desired(configuration, configuration.data)
        self._desired = (desired if remote is None else remote.start(desired)).settled()
        self._refused_ms = dict.fromkeys(self._desired.refusals, now_ms())
        self._content = b""
        self._applied_ms = now_ms()
        self._mistakes: tuple[str, ...] = ()
        self._file_due = False
        self._news: dict[str, bytes] = {}
        self._wanted = trio.Event()

    def reload_file(self) -> None:
        """Have the file read again."""
        self._file_due = True
        self._wanted.set()

    def receive(self, device: str, payload: bytes) -> None:
        """Take a document of a device; the latest of each counts."""
        if self._remote is not None:
            self._news[device] = payload
            self._wanted.set()

    @property
    def configuration(self) -> Configuration:
        """What runs, or is about to."""
        return self._desired.configuration

    def describe(self, devices: Mapping[str, DeviceStatus]) -> dict[str, DeviceStatus]:
        """Return the devices' status with where their configuration is from, and those refused."""
        described = dict(devices)
        for name, document in self._desired.documents.items():
            if (known := described.get(name)) is not None:
                origin = {"source": "remote", "revision": document.revision}
                described[name] = known.model_copy(update=origin)
        for name, refusal in self._desired.refusals.items():
            nothing = DeviceStatus(
                state="refused", source="remote", since_ms=self._refused_ms.get(name, 0)
            )
            revision = None if refusal.document is None else refusal.document.revision
            described[name] = described.get(name, nothing).model_copy(
                update={"refused_revision": revision, "mistakes": refusal.mistakes}
            )
        return described

    def status(self) -> ConfigurationStatus:
        """Return the configuration's part of the status document."""
        return ConfigurationStatus(
            applied_ms=self._applied_ms,
            mistakes=self._mistakes,
            restart_needed=self._desired.configuration.restart_needed,
        )

    async def run(self) -> None:
        """Apply what comes, one after the other, until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._file is not None and self._file.watch:
                nursery.start_soon(self._watch, self._file.path)
            while True:
                await self._wanted.wait()
                self._wanted = trio.Event()
                if self._file_due and self._file is not None:
                    self._file_due = False
                    await self._take_file(self._file.path)
                if self._news and self._remote is not None:
                    news, self._news = self._news, {}
                    settle = self._remote.settle
                    await self._become(await _run_aside(settle, self._desired, news))

    async def _take_file(self, path: Path) -> None:
        try:
            content = await trio.to_thread.run_sync(read, path)
            mark = sha256(content).digest()
            if mark == self._content:
                log.info("configuration_unchanged", file=str(path))
                self._tell_mistakes(())
                return
            desired = await _run_aside(self._settle_file, content, path)
        except ConfigurationRejected as exc:
            self._refuse_file(exc.mistakes)
            return
        self._content = mark
        if desired.configuration.restart_needed:
            log.warning("restart_needed", sections=desired.configuration.restart_needed)
        self._mistakes = ()
        await self._become(desired)

    def _settle_file(self, content: bytes, path: Path) -> Desired:
        judge = _judge_nothing if self._remote is None else self._remote.judge
        return self._desired.with_file(parse(content, path), str(path), judge)

    async def _become(self, desired: Desired) -> None:
        before = self._desired
        if desired.configuration is not before.configuration:
            desired = desired.settled()
        self._desired = desired
        now_ms = self._now_ms()
        known = self._refused_ms
        self._refused_ms = {name: known.get(name, now_ms) for name in desired.refusals}
        if desired.configuration is not before.configuration:
            await self._apply(desired.configuration)
            self._applied_ms = self._now_ms()
        if desired is not before:
            self._on_change()

    def _refuse_file(self, mistakes: tuple[str, ...]) -> None:
        for mistake in mistakes:
            log.error("configuration_refused", mistake=mistake)
        self._tell_mistakes(mistakes)

    def _tell_mistakes(self, mistakes: tuple[str, ...]) -> None:
        if mistakes != self._mistakes:
            self._mistakes = mistakes
            self._on_change()

    async def _watch(self, path: Path) -> None:
        """Reload when the file is another and has stopped changing."""
        known = seen = await _look(path)
        while True:
            await trio.sleep(WATCH_INTERVAL_S)
            before, seen = seen, await _look(path)
            if seen == before and seen not in {known, None}:
                known = seen
                self.reload_file()


async def _run_aside(check: Callable[[*_Args], Desired], *args: *_Args) -> Desired:
    """Run what takes long in a thread, and let the polling go on meanwhile."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        return await trio.to_thread.run_sync(check, *args)
    finally:
        sys.setswitchinterval(usual_s)


def _judge_nothing(_configuration: Configuration) -> tuple[str, ...]:
    return ()


async def _look(path: Path) -> tuple[int, ...] | None:
    """Return what tells one version of a file from the next, ``None`` while there is none."""
    try:
        found = await trio.Path(path).stat()
    except OSError:
        return None  # editors and deployments replace files; a file that stays away is told at HUP
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
