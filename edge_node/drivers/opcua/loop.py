"""The asyncio event loop that the client library runs on, within trio.

It lasts from ``start`` to ``stop``, and nothing that was begun on it outlives ``stop``. Knows
nothing of OPC UA.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, TypeVarTuple

import structlog
import trio
import trio_asyncio

from edge_node.drivers.base import DeviceUnreachable

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

log = structlog.get_logger(__name__)


class AsyncioLoop:
    """An asyncio loop in a task of its own.

    The task belongs to trio itself, not to the caller's nursery, since a driver is opened and
    closed at different depths of its supervisor's scopes.
    """

    def __init__(self) -> None:
        self._loop: Any = None
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._ended.set()

    @property
    def is_running(self) -> bool:
        """Whether anything can be run on it."""
        return self._loop is not None

    async def start(self) -> None:
        """Start the loop; one that runs is stopped first."""
        await self.stop()
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        ready = trio.Event()
        trio.lowlevel.spawn_system_task(self._run, ready, self._scope, self._ended)
        await ready.wait()

    async def run(self, function: Callable[[*_Args], Awaitable[_T]], *arguments: *_Args) -> _T:
        """Run an asyncio coroutine function on the loop and return its result.

        Raises:
            DeviceUnreachable: the loop does not run.
        """
        if self._loop is None:
            raise DeviceUnreachable("not connected")
        result: _T = await self._loop.run_aio_coroutine(function(*arguments))
        return result

    async def stop(self) -> None:
        """Cancel everything on the loop and wait for its end."""
        self._scope.cancel()
        await self._ended.wait()

    async def _run(self, ready: trio.Event, scope: trio.CancelScope, ended: trio.Event) -> None:
        try:
            with scope:
                async with trio_asyncio.open_loop() as loop:
                    self._loop = loop
                    ready.set()
                    await trio.sleep_forever()
        except Exception:  # a task of trio's own must not raise
            log.exception("opcua_loop_crashed")
        finally:
            self._loop = None
            ready.set()
            ended.set()
