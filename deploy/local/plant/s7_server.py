"""A simulated S7 CPU: python-snap7's server with a small data block that lives.

The library's server writes a whole byte where a client writes a bit; a CPU does not, so neither
does this one. Knows nothing of the edge node.
"""

import math
import socket
import struct
import threading
import time
from typing import Any

from snap7.server import Server
from snap7.type import SrvArea

BLOCK = 1
BLOCK_SIZE = 256
_MEMORY_SIZE = 128
_TICK_S = 0.1
_BIT = 1


class S7Server(Server):
    """python-snap7's server at a chosen address, with true bit writes."""

    def listen(self, bind: str, port: int) -> int:
        """Listen and return the port; raises ``OSError`` when it cannot."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # the library shares a port that is in use and hides why it cannot listen
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((bind, port))
        self.host = bind
        self.start(port)
        listener = self.server_socket
        if listener is None:
            raise OSError("the server did not start")
        return int(listener.getsockname()[1])

    def _parse_address_specification(self, addr_spec: bytes) -> dict[str, Any]:
        parsed = super()._parse_address_specification(addr_spec)
        if parsed:
            parsed["bit"] = addr_spec[11] & 7
        return parsed

    def _parse_write_address(self, request: dict[str, Any]) -> Any:
        parsed = super()._parse_write_address(request)
        spec = request.get("parameters", {}).get("address_spec", {})
        if parsed is None or spec.get("word_len") != _BIT:
            return parsed
        area, block, start, count, data = parsed
        memory = self.memory_areas.get((area, block))
        if memory is None or start >= len(memory):
            return parsed
        mask = 1 << spec["bit"]
        byte = memory[start] | mask if data[0] else memory[start] & ~mask
        return area, block, start, count, bytearray([byte])


class Mixer:
    """What the simulated CPU runs: a mixer whose speed follows a setpoint.

    ``DB1``: speed REAL 0, setpoint REAL 4, batches DINT 8, level INT 12, running BOOL 14.0, alarm
    BOOL 14.1, recipe STRING[16] 16, cycle TIME 36, clock DTL 40. Memory ``MW0`` counts scans.
    """

    def __init__(self, server: S7Server) -> None:
        self.block = bytearray(BLOCK_SIZE)
        self.memory = bytearray(_MEMORY_SIZE)
        server.register_area(SrvArea.DB, BLOCK, self.block)
        server.register_area(SrvArea.MK, 0, self.memory)
        server.register_area(SrvArea.PE, 0, bytearray(_MEMORY_SIZE))
        server.register_area(SrvArea.PA, 0, bytearray(_MEMORY_SIZE))
        server.register_area(SrvArea.TM, 0, bytearray(_MEMORY_SIZE))
        server.register_area(SrvArea.CT, 0, bytearray(_MEMORY_SIZE))
        struct.pack_into(">ff", self.block, 0, 0.0, 120.0)
        self.block[14] = 1
        self.block[16:28] = b"\x10\x0aRaspberry1"
        self._stopped = threading.Event()
        self._scans = 0

    def run(self) -> None:
        """Scan until stopped."""
        while not self._stopped.wait(_TICK_S):
            self.scan()

    def stop(self) -> None:
        """End ``run``."""
        self._stopped.set()

    def scan(self) -> None:
        """Do one cycle of the program."""
        self._scans += 1
        speed, setpoint = struct.unpack_from(">ff", self.block, 0)
        target = setpoint if self.block[14] & 1 else 0.0
        speed += (target - speed) * 0.1
        struct.pack_into(">f", self.block, 0, speed)
        struct.pack_into(">i", self.block, 8, self._scans // 100)
        level = round(500 + 400 * math.sin(self._scans / 50))
        struct.pack_into(">h", self.block, 12, level)
        high = 2 if level > 850 else 0
        self.block[14] = self.block[14] & ~2 | high
        struct.pack_into(">i", self.block, 36, round(1000 * _TICK_S))
        now = time.gmtime()
        struct.pack_into(
            ">HBBBBBBI",
            self.block,
            40,
            now.tm_year,
            now.tm_mon,
            now.tm_mday,
            (now.tm_wday + 1) % 7 + 1,
            now.tm_hour,
            now.tm_min,
            now.tm_sec,
            0,
        )
        struct.pack_into(">H", self.memory, 0, self._scans & 0xFFFF)
