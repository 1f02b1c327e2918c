"""A Siemens S7 device's configuration: its connection and its tags.

What only the driver can judge (whether an address is one) is judged by the driver.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from proto.control.device import Device, Tag, check_tags
from proto.control.document import Document

S7Datatype = Literal[
    "bool",
    "byte",
    "word",
    "dword",
    "lword",
    "sint",
    "usint",
    "int",
    "uint",
    "dint",
    "udint",
    "lint",
    "ulint",
    "real",
    "lreal",
    "char",
    "string",
    "wchar",
    "wstring",
    "time",
    "ltime",
    "s5time",
    "date",
    "tod",
    "ltod",
    "dt",
    "dtl",
    "ldt",
    "counter",
]
"""The PLC's own names; ``tod`` is TIME_OF_DAY, ``ltod`` LTIME_OF_DAY, ``dt`` DATE_AND_TIME."""

UNSCALED = frozenset({"bool", "char", "string", "wchar", "wstring", "date", "dt", "dtl", "ldt"})
"""Datatypes that are no amounts."""

Tsap = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{2}\.[0-9A-Fa-f]{2}$")]
"""Two hexadecimal bytes, as LOGO!Soft writes them: ``10.00``."""


class S7Connection(Document):
    """How a CPU or LOGO! is reached."""

    host: str = Field(min_length=1)
    """Name or address of the CPU or its communication processor."""
    port: int = Field(default=102, ge=1, le=65_535)
    rack: int = Field(default=0, ge=0, le=7)
    """0 but for large S7-400."""
    slot: int = Field(default=1, ge=0, le=31)
    """S7-1200 and S7-1500: 1; S7-300: 2; S7-400: as in its hardware configuration."""
    connection_type: Literal["pg", "op", "basic"] = "pg"
    """Which of the CPU's reserved connections is taken."""
    local_tsap: Tsap = "01.00"
    """This side's TSAP; for a LOGO! as configured there: ``10.00``."""
    remote_tsap: Tsap | None = None
    """The other side's TSAP, instead of ``rack``, ``slot`` and ``connection_type``; for a
    LOGO!: ``20.00``."""
    pdu_length: int = Field(default=960, ge=240, le=960)
    """Largest message asked for, in bytes; the CPU may grant less."""
    timeout_s: float = Field(default=2.0, gt=0, le=60)
    max_in_flight: int = Field(default=4, ge=1, le=16)
    """Requests on their way at once, as far as the CPU grants them."""
    shared: bool = True
    """Devices with the same connection use one together: CPUs have few."""
    max_connections: int | None = Field(default=None, ge=1, le=1000)
    """This device connects only while the node has fewer connections to the host and port; until
    then it waits and says so. Any number when absent."""
    check_state: bool = True
    """Ask every ten seconds whether the CPU runs, unless ``remote_tsap`` is set; in STOP its values
    are published as stale."""
    max_gap: int = Field(default=16, ge=0, le=400)
    """Unused bytes that are read along rather than asked around."""


class S7Tag(Tag):
    """A tag on an S7 device."""

    address: str
    """Where it is: ``DB1.DBD100``, ``DB1.DBX5.2``, ``MW20``, ``I0.1``, ``T5``; German letters,
    PLC4X's ``%DB1.DBD100:REAL`` and Kepware's ``DB1,REAL100`` as well."""
    datatype: S7Datatype | None = None
    """May be left out where the address tells it."""
    length: int | None = Field(default=None, ge=1, le=254)
    """Most characters of a string, as declared in the PLC; 254 when absent."""
    count: int | None = Field(default=None, ge=1, le=65_536)
    """Elements of an array, of any datatype, published as one array; a single value when absent."""

    @model_validator(mode="after")
    def _check_s7_tag(self) -> Self:
        if self.length is not None and self.datatype not in {None, "string", "wstring"}:
            raise ValueError(
                f"length is {self.length} for datatype {self.datatype!r}, expected it for strings"
            )
        if self.datatype in UNSCALED and self.is_scaled:
            raise ValueError(f"scale and offset do not apply to datatype {self.datatype!r}")
        if self.datatype in UNSCALED and (self.deadband or self.deadband_percent):
            raise ValueError(f"deadband does not apply to datatype {self.datatype!r}")
        return self


class S7Device(Device):
    """A Siemens S7 CPU or a LOGO!."""

    driver: Literal["s7"]
    connection: S7Connection
    tags: tuple[S7Tag, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        check_tags(self.tags, self.poll_groups)
        return self
