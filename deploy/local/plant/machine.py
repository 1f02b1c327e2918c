"""What every machine of the bottling line has: a state, a speed that lags, counters, faults.

Pure: time and chance are arguments. Knows nothing of Modbus.
"""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random


class State(IntEnum):
    """Machine states, numbered as in PackML (ISA-TR88.00.02)."""

    STOPPED = 2
    SUSPENDED = 5
    EXECUTE = 6
    ABORTED = 9


def lag(value: float, target: float, dt_s: float, tau_s: float) -> float:
    """Return where a first-order lag stands ``dt_s`` later."""
    return target + (value - target) * math.exp(-dt_s / tau_s)


@dataclass
class Machine:
    """One machine. Subclasses add what it does to the product.

    Attributes:
        speed: bottles a minute.
        motor_current: A.
        motor_temperature: °C.
        energy: Wh since it was built.
        run_hours: h in ``EXECUTE``.
        fault_code: 0 without a fault.
    """

    random: Random
    run: bool = True
    reset: bool = False
    state: State = State.STOPPED
    fault_code: int = 0
    speed: float = 0.0
    good: int = 0
    rejects: int = 0
    motor_current: float = 0.0
    motor_temperature: float = 24.0
    energy: float = 1_250_000.0
    run_hours: float = 4_211.5
    faults: tuple[int, ...] = (11,)
    mean_time_between_faults_s: float = 240.0
    reject_share: float = 0.004
    top_speed: float = 600.0
    _fault_left_s: float = field(default=0.0, repr=False)
    _partial: float = field(default=0.0, repr=False)

    @property
    def running(self) -> bool:
        """Whether the machine works on bottles."""
        return self.state is State.EXECUTE

    @property
    def faulted(self) -> bool:
        """Whether a fault stopped the machine."""
        return self.fault_code != 0

    def move(self, dt_s: float, target_speed: float, available: float, room: float) -> int:
        """Advance the machine and return how many bottles went through it."""
        self._advance_fault(dt_s)
        if self.faulted:
            self.state, target_speed = State.ABORTED, 0.0
        elif not self.run or target_speed <= 0:
            self.state, target_speed = State.STOPPED, 0.0
        elif available < 1 or room < 1:
            self.state, target_speed = State.SUSPENDED, 0.0
        else:
            self.state = State.EXECUTE
        self.speed = lag(self.speed, min(target_speed, self.top_speed), dt_s, 2.5)
        self._advance_motor(dt_s)
        self._partial += self.speed / 60 * dt_s
        moved = int(min(self._partial, available, room))
        self._partial -= int(self._partial)
        rejected = sum(self.random.random() < self.reject_share for _ in range(moved))
        self.good += moved - rejected
        self.rejects += rejected
        return moved - rejected

    def _advance_fault(self, dt_s: float) -> None:
        if self.faulted:
            self._fault_left_s -= dt_s
            if self.reset or self._fault_left_s <= 0:
                self.fault_code = 0
        elif self.running and self.random.random() < dt_s / self.mean_time_between_faults_s:
            self.fault_code = self.random.choice(self.faults)
            self._fault_left_s = self.random.uniform(8, 25)
        self.reset = False

    def _advance_motor(self, dt_s: float) -> None:
        load = self.speed / self.top_speed
        noise = self.random.gauss(0, 0.03) if self.speed > 1 else 0.0
        self.motor_current = max(0.0, 0.4 + 7.2 * load + noise)
        self.motor_temperature = lag(self.motor_temperature, 24 + 48 * load, dt_s, 180)
        self.energy += (0.15 + 5.5 * load) * 1000 * dt_s / 3600
        if self.running:
            self.run_hours += dt_s / 3600
