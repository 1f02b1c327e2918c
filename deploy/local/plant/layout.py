"""The register maps of the three machines: what lies where, as what, and what may be set.

Data only. ``plant.toml`` describes the same maps from the edge node's side.
"""

from dataclasses import dataclass
from typing import Literal

from deploy.local.plant.words import Kind, Order

Table = Literal["coil", "discrete", "input", "holding"]

_WIDTHS = {"int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2}


@dataclass(frozen=True, slots=True)
class Register:
    """A value in the input or holding registers.

    Attributes:
        source: attribute of the machine.
        per_unit: register value of one engineering unit, for scaled integers.
        low, high: what may be written, in register values; nothing may when absent.
    """

    table: Table
    address: int
    source: str
    kind: Kind = "uint16"
    order: Order = "big"
    length: int = 0
    per_unit: float = 1
    low: float | None = None
    high: float | None = None
    writable: bool = False

    @property
    def width(self) -> int:
        """How many registers it takes."""
        return (self.length + 1) // 2 if self.kind == "string" else _WIDTHS.get(self.kind, 4)


@dataclass(frozen=True, slots=True)
class Bit:
    """A coil or discrete input."""

    table: Table
    address: int
    source: str


@dataclass(frozen=True, slots=True)
class Unit:
    """One machine's map."""

    unit_id: int
    machine: str
    registers: tuple[Register, ...]
    bits: tuple[Bit, ...]


def _common(order: Order) -> tuple[Register, ...]:
    return (
        Register("input", 0, "state"),
        Register("input", 1, "fault_code"),
        Register("input", 2, "alarms"),
        Register("input", 3, "speed", "float32", order),
        Register("input", 5, "good", "uint32", order),
        Register("input", 7, "rejects", "uint32", order),
        Register("input", 9, "motor_current", "uint16", per_unit=100),
        Register("input", 10, "motor_temperature", "int16", per_unit=10),
    )


_COILS = (Bit("coil", 0, "run"), Bit("coil", 1, "reset"))

FILLER = Unit(
    1,
    "filler",
    (
        *_common("big"),
        Register("input", 20, "bowl_level", "float32"),
        Register("input", 22, "bowl_pressure", "float32"),
        Register("input", 24, "product_temperature", "float32"),
        Register("input", 26, "product_flow", "float32"),
        Register("input", 28, "co2_pressure", "float32"),
        Register("input", 30, "fill_volume", "float32"),
        Register("input", 32, "conveyor_speed", "float32"),
        Register("input", 34, "inlet_valve", per_unit=10),
        Register("input", 35, "cooling_valve", per_unit=10),
        Register("input", 36, "valves"),
        Register("input", 40, "run_hours", "float64"),
        Register("input", 44, "energy", "float64"),
        Register("holding", 0, "speed_setpoint", low=0, high=600, writable=True),
        Register("holding", 1, "fill_volume_setpoint", low=250, high=1500, writable=True),
        Register("holding", 2, "bowl_level_setpoint", "float32", low=20, high=90, writable=True),
        Register(
            "holding", 4, "product_temperature_setpoint", "float32", low=2, high=25, writable=True
        ),
        Register("holding", 10, "recipe", "string", length=16, writable=True),
    ),
    (
        *_COILS,
        Bit("coil", 2, "cleaning"),
        Bit("discrete", 0, "running"),
        Bit("discrete", 1, "faulted"),
        Bit("discrete", 2, "bowl_low"),
        Bit("discrete", 3, "bowl_high"),
        Bit("discrete", 4, "product_warm"),
        Bit("discrete", 5, "guard_closed"),
    ),
)

CAPPER = Unit(
    2,
    "capper",
    (
        *_common("little"),
        Register("input", 20, "torque", "float32", "little"),
        Register("input", 22, "torque_deviation", "float32", "little"),
        Register("input", 24, "hopper_level", "float32", "little"),
        Register("input", 26, "vacuum", "int16"),
        Register("input", 27, "head_1_temperature", "int16", per_unit=10),
        Register("input", 28, "head_2_temperature", "int16", per_unit=10),
        Register("input", 29, "head_3_temperature", "int16", per_unit=10),
        Register("input", 30, "head_4_temperature", "int16", per_unit=10),
        Register("input", 31, "infeed"),
        Register("input", 32, "discharge"),
        Register("input", 40, "run_hours", "float64", "little"),
        Register(
            "holding", 0, "torque_setpoint", "float32", "little", low=0.5, high=4, writable=True
        ),
        Register("holding", 2, "hopper_refill_level", low=5, high=90, writable=True),
    ),
    (
        *_COILS,
        Bit("coil", 2, "hopper_feed"),
        Bit("discrete", 0, "running"),
        Bit("discrete", 1, "faulted"),
        Bit("discrete", 2, "hopper_low"),
        Bit("discrete", 3, "vacuum_good"),
    ),
)

LABELLER = Unit(
    3,
    "labeller",
    (
        *_common("big-swapped"),
        Register("input", 20, "glue_temperature", "float32", "big-swapped"),
        Register("input", 22, "glue_level", "float32", "big-swapped"),
        Register("input", 24, "web_tension", "float32", "big-swapped"),
        Register("input", 26, "roll_remaining", "float32", "big-swapped"),
        Register("input", 28, "vision_good", "float32", "big-swapped"),
        Register("input", 30, "labels", "int32", "little-swapped"),
        Register("input", 32, "infeed"),
        Register("input", 40, "total_produced", "int64", "big-swapped"),
        Register("input", 44, "energy", "float64", "big-swapped"),
        Register(
            "holding",
            0,
            "glue_temperature_setpoint",
            "float32",
            "big-swapped",
            low=120,
            high=180,
            writable=True,
        ),
        Register("holding", 10, "date_code", "string", length=12, writable=True),
        Register("holding", 20, "batch", "string", length=20),
    ),
    (
        *_COILS,
        Bit("coil", 2, "heater"),
        Bit("discrete", 0, "running"),
        Bit("discrete", 1, "faulted"),
        Bit("discrete", 2, "glue_ready"),
        Bit("discrete", 3, "roll_low"),
    ),
)

UNITS = (FILLER, CAPPER, LABELLER)
