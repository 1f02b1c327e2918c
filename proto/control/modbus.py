"""A Modbus device's configuration: its unit and its tags.

What only the driver can judge (whether an address is one) is judged by the driver.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from proto.control.device import Device, Tag, check_tags
from proto.control.document import LOCAL, Document

WordOrder = Literal["big", "little", "big-swapped", "little-swapped"]
"""How 32- and 64-bit values lie in 16-bit registers.

For the bytes ABCD: ``big`` ABCD, ``little`` CDAB (words reversed), ``big-swapped`` BADC
(bytes swapped in each word), ``little-swapped`` DCBA (both).
"""

_HIGHEST_UNIT = 247
"""Modbus over serial line V1.02 2.2."""


class ModbusConnection(Document):
    """One unit (slave) on a Modbus TCP server, gateway or serial line, with the device's limits."""

    transport: Literal["tcp", "tls", "rtu-over-tcp", "rtu"] = "tcp"
    """``tcp``; ``tls`` for Modbus/TCP Security; ``rtu-over-tcp`` for serial device servers that
    pass RTU frames through; ``rtu`` for a serial port of this machine."""
    host: str = ""
    """Name or address of the server or gateway."""
    port: int = Field(default=502, ge=1, le=65_535)
    ca_file: Path | None = None
    """PEM bundle that the certificate of a ``tls`` server must chain to; the system's if absent."""
    cert_file: Path | None = None
    """PEM certificate that this client shows to a ``tls`` server."""
    key_file: Path | None = None
    """PEM key of ``cert_file``."""
    serial_port: Annotated[str, LOCAL] = ""
    """The serial port of ``rtu``: ``/dev/ttyUSB0``."""
    baud_rate: int = Field(default=19_200, ge=110, le=4_000_000)
    parity: Literal["none", "even", "odd"] = "even"
    stop_bits: Literal[1, 2] = 1
    unit_id: int = Field(default=1, ge=0, le=255)
    """Which unit at that address. With RTU frames 0 is everyone: what is written goes to all units
    of the line, none answers, and nothing is read."""
    broadcast_pause_s: float = Field(default=0.1, ge=0, le=10)
    """Silence kept after a write to everyone, in which the units do what they were told."""
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    word_order: WordOrder = "big"
    """Default of the device's tags."""
    max_registers: int = Field(default=125, ge=1, le=125)
    """Most registers in one read request (Modbus V1.1b3 6.3)."""
    max_bits: int = Field(default=2000, ge=1, le=2000)
    """Most coils or discrete inputs in one read request (Modbus V1.1b3 6.1)."""
    max_gap: int = Field(default=8, ge=0, le=125)
    """Unused registers that are read along rather than start another request."""
    pause_s: float = Field(default=0.0, ge=0, le=10)
    """Silence kept between requests, for devices that need it."""
    connect_pause_s: float = Field(default=0.0, ge=0, le=60)
    """Silence kept after connecting, for devices that are not ready at once."""
    one_request_per_tag: bool = False
    """Each tag is read by a request of its own, for devices that grant nothing else."""
    reads_start_at_zero: bool = False
    """Every read begins at address 0, for devices that refuse others."""
    retries: int = Field(default=1, ge=0, le=10)
    """How often a read that was not answered is sent again before the device counts as lost."""
    max_in_flight: int = Field(default=1, ge=1, le=16)
    """Requests on their way at once; more than one only for servers that allow it."""
    shared: bool = True
    """Devices at one host and port use one connection, as gateways like it."""
    max_connections: int | None = Field(default=None, ge=1, le=1000)
    """This device connects only while the node has fewer connections to the host and port, those of
    all devices counted; until then it waits and says so. Any number when absent."""
    mask_write: bool = False
    """Bits of registers are written by function 22 where the device has it; else by reading,
    changing and writing the register."""

    @property
    def is_broadcast(self) -> bool:
        """Whether all units of a line are meant (Modbus over serial line V1.02 2.1)."""
        return self.unit_id == 0 and self.transport in {"rtu", "rtu-over-tcp"}

    @model_validator(mode="after")
    def _check_transport(self) -> Self:
        if self.transport == "rtu":
            if not self.serial_port:
                raise ValueError(
                    "serial_port is missing, expected the port of transport 'rtu': /dev/ttyUSB0"
                )
            if self.host:
                raise ValueError(f"host is {self.host!r}, transport 'rtu' has a serial_port only")
            if self.max_connections is not None:
                raise ValueError(
                    f"max_connections is {self.max_connections}, a serial port has one line only"
                )
        else:
            if not self.host:
                raise ValueError("host is missing, expected the name or address of the server")
            if self.serial_port:
                raise ValueError(
                    f"serial_port is {self.serial_port!r}, expected it with transport 'rtu' only"
                )
        return self

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if self.transport != "tls" and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError("ca_file, cert_file and key_file go with transport 'tls' only")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together, found only one of them")
        return self

    @model_validator(mode="after")
    def _check_frames(self) -> Self:
        if self.transport in {"rtu", "rtu-over-tcp"}:
            if self.unit_id > _HIGHEST_UNIT:
                raise ValueError(
                    f"unit_id is {self.unit_id}, expected 1 to {_HIGHEST_UNIT} with RTU frames, or"
                    " 0 for all units at once"
                )
            if self.max_in_flight > 1:
                raise ValueError(
                    f"max_in_flight is {self.max_in_flight}, expected 1 with RTU frames, which have"
                    " no transaction ids"
                )
        return self


ModbusDatatype = Literal[
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bcd16",
    "bcd32",
    "bcd64",
    "string",
]
"""``int8`` and ``uint8`` are half a register. ``bcd16``, ``bcd32`` and ``bcd64`` hold four, eight
and sixteen decimal digits, one in each half of a byte."""

TextEncoding = Literal["utf-8", "latin-1", "cp1252", "shift_jis", "gb18030", "utf-16"]


class ModbusTag(Tag):
    """A tag on a Modbus device."""

    address: str
    """Where it is: ``holding:100``, ``input:7``, ``coil:0``, ``discrete:3``, ``holding:100.5`` for
    bit 5 of a register (0-based, as on the wire), or the field's ``40101``, ``400101`` (1-based)
    and ``%MW100`` (0-based)."""

    datatype: ModbusDatatype
    length: int | None = Field(default=None, ge=1, le=250)
    """Characters of a string; two to a register."""
    word_order: WordOrder | None = None
    swap_bytes: bool = False
    """The two bytes of each register stand exchanged, whatever the word order says."""
    byte: Literal["high", "low"] | None = None
    """Which half of the register an ``int8`` or ``uint8`` is; the low one when absent."""
    encoding: TextEncoding | None = None
    """Of a string; UTF-8 when absent, and Latin-1 where the bytes are no UTF-8. ``utf-16`` is one
    character to a register."""
    write_only: bool = False
    """The tag is written and never read, for commands that a device does not let be read; its value
    is what was written last, as far as this process knows."""

    @model_validator(mode="after")
    def _check_modbus_tag(self) -> Self:
        if (self.datatype == "string") != (self.length is not None):
            raise ValueError(
                f"length is {self.length} for datatype {self.datatype!r},"
                " expected it exactly for strings"
            )
        if self.byte is not None and self.datatype not in {"int8", "uint8"}:
            raise ValueError(
                f"byte is {self.byte!r} for datatype {self.datatype!r}, expected it for int8, uint8"
            )
        if self.encoding is not None and self.datatype != "string":
            raise ValueError(
                f"encoding is {self.encoding!r} for datatype {self.datatype!r}, expected it for"
                " strings"
            )
        if self.write_only and not self.writable:
            raise ValueError("write_only is true, expected writable = true with it")
        if self.datatype in {"string", "bool"} and self.is_scaled:
            raise ValueError(f"scale and offset do not apply to datatype {self.datatype!r}")
        if self.datatype in {"string", "bool"} and (self.deadband or self.deadband_percent):
            raise ValueError(f"deadband does not apply to datatype {self.datatype!r}")
        return self


class ModbusDevice(Device):
    """A Modbus device."""

    driver: Literal["modbus"]
    connection: ModbusConnection
    tags: tuple[ModbusTag, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        check_tags(self.tags, self.poll_groups)
        return self
