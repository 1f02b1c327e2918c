"""A serial port as a wire: opened by pyserial, waited for by trio. Knows nothing of frames.

Only for systems whose serial ports are file descriptors (Linux, macOS).
"""

import errno
import os
import termios
from dataclasses import dataclass
from typing import Literal

import serial
import trio

from edge_node.drivers.tcp import has_input

_RECEIVE_SIZE = 512
_BITS_PER_CHARACTER = 11
"""Start, eight data, parity or second stop, stop (Modbus over serial line V1.02 2.5.1)."""
_CHARACTERS_OF_SILENCE = 3.5
_SHORTEST_SILENCE_S = 0.001_75
"""Above 19200 baud the silence no longer shrinks (V1.02 2.5.1.1)."""
_PARITIES = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """How a port is set; data bits are 8, as RTU needs."""

    port: str
    baud_rate: int
    parity: Literal["none", "even", "odd"]
    stop_bits: Literal[1, 2]

    def __str__(self) -> str:
        """Return the settings in the usual short form: ``19200 8E1``."""
        return f"{self.baud_rate} 8{self.parity[0].upper()}{self.stop_bits}"

    @property
    def character_s(self) -> float:
        """Seconds that one character takes."""
        return _BITS_PER_CHARACTER / self.baud_rate

    @property
    def silence_s(self) -> float:
        """Seconds of silence between two frames."""
        return max(_CHARACTERS_OF_SILENCE * self.character_s, _SHORTEST_SILENCE_S)


class SerialWire:
    """An open serial port that keeps the silence between frames."""

    def __init__(self, port: serial.Serial, settings: SerialSettings) -> None:
        self._port = port
        self._descriptor: int = port.fileno()
        self._settings = settings
        self._silent_at = trio.current_time()
        os.set_blocking(self._descriptor, False)

    async def send_all(self, data: bytes) -> None:
        """Send all of it, after the silence that ends the frame before."""
        await trio.sleep_until(self._silent_at)
        self._silent_at = (
            trio.current_time() + len(data) * self._settings.character_s + self._settings.silence_s
        )
        while data:
            self._check_open()
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._descriptor)
            except OSError as exc:
                raise trio.BrokenResourceError(exc.strerror) from exc

    async def receive_some(self) -> bytes:
        """Wait for bytes."""
        while True:
            self._check_open()
            await trio.lowlevel.wait_readable(self._descriptor)
            try:
                data = os.read(self._descriptor, _RECEIVE_SIZE)
            except BlockingIOError:
                continue
            except OSError as exc:  # EIO: the adapter was pulled out
                raise trio.BrokenResourceError(exc.strerror) from exc
            self._silent_at = trio.current_time() + self._settings.silence_s
            return data

    def has_input(self) -> bool:
        """Whether bytes are there."""
        return self._port.is_open and has_input(self._descriptor)

    def close(self) -> None:
        """Close without waiting."""
        if self._port.is_open:
            trio.lowlevel.notify_closing(self._descriptor)
            self._port.close()

    def _check_open(self) -> None:
        if not self._port.is_open:
            raise trio.ClosedResourceError


async def open_serial(settings: SerialSettings) -> SerialWire:
    """Open a port for this process alone; raises ``OSError`` with the reason."""
    # some adapters take their time to be set
    return SerialWire(await trio.to_thread.run_sync(_open_port, settings), settings)


def _open_port(settings: SerialSettings) -> serial.Serial:
    try:
        return serial.Serial(
            settings.port,
            settings.baud_rate,
            bytesize=serial.EIGHTBITS,
            parity=_PARITIES[settings.parity],
            stopbits=settings.stop_bits,
            timeout=0,
            exclusive=True,
        )
    except serial.SerialException as exc:
        if exc.errno == errno.EAGAIN:  # the lock that makes the port exclusive
            raise OSError(errno.EBUSY, "in use by another process") from exc
        # pyserial says what it did before it says why
        reason = os.strerror(exc.errno) if exc.errno else str(exc)
        raise OSError(exc.errno or errno.EIO, reason) from exc
    except (termios.error, ValueError) as exc:
        raise OSError(errno.EINVAL, f"the port cannot be set to {settings}: {exc}") from exc
