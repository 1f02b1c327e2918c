"""Whether a CPU runs. In STOP it goes on answering, with values that nothing renews any more.

CPUs that do not tell are asked once and then left alone.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.s7.codec import Refused
from edge_node.drivers.s7.link import S7Link
from edge_node.drivers.s7.transport import ProtocolError
from edge_node.drivers.s7.userdata import STATE, parse_state, parse_unit, status_list_request
from edge_node.drivers.traffic import Traffic

INTERVAL_S: Final = 10.0
IN_STOP: Final = "the CPU is in STOP"

_log = structlog.get_logger(__name__)


class CpuState:
    """What is known of one CPU's state.

    Args:
        device: for the log.
        can_tell: whether to ask at all.

    Attributes:
        in_stop: whether it said so when it was last asked.
    """

    def __init__(self, device: str, *, can_tell: bool) -> None:
        self.in_stop = False
        self._device = device
        self._can_tell = can_tell
        self._has_told = False
        self._due = 0.0

    def forget(self) -> None:
        """Ask at the next opportunity: the CPU was connected again."""
        self._due = 0.0

    async def refresh(self, link: S7Link, traffic: Traffic, now: float) -> None:
        """Ask, if the time has come.

        Args:
            link: to the CPU.
            traffic: counts what goes over the wire.
            now: a monotonic time in seconds.

        Raises:
            DeviceUnreachable: the connection is gone; it is not asked again.
        """
        if not self._can_tell or now < self._due:
            return
        self._due = now + INTERVAL_S
        request: Callable[[int], bytes] = partial(status_list_request, *STATE)
        told = ""
        try:
            told = parse_state(parse_unit(await link.ask(request, traffic)).data).get("state", "")
        except (Refused, ProtocolError):
            self._can_tell = False
        except DeviceUnreachable:
            self._can_tell = self._has_told  # some would rather hang up than answer
            raise
        self._has_told = self._has_told or bool(told)
        self._can_tell = self._can_tell and bool(told)
        if self.in_stop != (told == "STOP"):
            self.in_stop = told == "STOP"
            _log.warning("s7_cpu_state", device=self._device, state=told or "unknown")
