"""A machine's registers and bits as its PLC would show them, and what a write does to the machine.

Pure: joins physics and layout; the server carries the result.
"""

from collections.abc import Sequence

from deploy.local.plant.layout import Register, Unit
from deploy.local.plant.machine import Machine
from deploy.local.plant.physics import Plant
from deploy.local.plant.words import Value, from_registers, to_registers

ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3


class UnitImage:
    """One machine as a Modbus unit."""

    def __init__(self, unit: Unit, plant: Plant) -> None:
        self.unit = unit
        machine = getattr(plant, unit.machine)
        assert isinstance(machine, Machine)  # noqa: S101  # layout and physics are one package
        self._machine = machine

    def registers(self, register: Register) -> list[int]:
        """Return what a register item holds now."""
        value: Value = getattr(self._machine, register.source)
        if register.per_unit != 1:
            value = float(value) * register.per_unit
        if register.kind not in {"float32", "float64", "string"}:
            value = round(float(value)) if isinstance(value, float) else int(value)
        return to_registers(value, register.kind, register.order, register.length)

    def bit(self, source: str) -> bool:
        """Return what a bit holds now."""
        return bool(getattr(self._machine, source))

    def write_coils(self, address: int, bits: Sequence[bool]) -> int:
        """Set coils; return 0 or a Modbus exception code, having set nothing."""
        coils = {bit.address: bit.source for bit in self.unit.bits if bit.table == "coil"}
        if any(at not in coils for at in range(address, address + len(bits))):
            return ILLEGAL_ADDRESS
        for at, on in enumerate(bits, address):
            setattr(self._machine, coils[at], on)
        return 0

    def write_registers(self, address: int, values: Sequence[int]) -> int:
        """Set whole writable values; return 0 or a Modbus exception code, having set nothing."""
        end = address + len(values)
        accepted: list[tuple[str, Value]] = []
        covered = 0
        for register in self.unit.registers:
            if register.table != "holding" or not address < register.address + register.width:
                continue
            if register.address >= end:
                continue
            first = register.address - address
            if not register.writable or first < 0 or first + register.width > len(values):
                return ILLEGAL_ADDRESS
            value = from_registers(
                list(values[first : first + register.width]), register.kind, register.order
            )
            if not _fits(register, value):
                return ILLEGAL_VALUE
            accepted.append((register.source, value))
            covered += register.width
        if covered != len(values):
            return ILLEGAL_ADDRESS
        for source, value in accepted:
            setattr(self._machine, source, value)
        return 0


def _fits(register: Register, value: Value) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    low, high = register.low, register.high
    # a NaN is neither at least low nor at most high
    return (low is None or value >= low) and (high is None or value <= high)
