"""The bottling line: filler, capper and labeller joined by conveyors.

Pure and deterministic: the same seed and steps give the same plant. The filler's speed set-point
drives the whole line; a fault downstream fills the conveyors and stops the machines before it.
"""

from dataclasses import dataclass
from random import Random

from deploy.local.plant.machine import Machine, lag

CONVEYOR_ROOM = 90
"""Bottles that fit between two machines."""


@dataclass
class Filler(Machine):
    """Fills bottles from a pressurized bowl of cooled product."""

    speed_setpoint: int = 320
    bowl_level_setpoint: float = 65.0
    product_temperature_setpoint: float = 6.0
    fill_volume_setpoint: int = 500
    recipe: str = "SPARKLING-500"
    cleaning: bool = False
    bowl_level: float = 58.0
    bowl_pressure: float = 2.8
    co2_pressure: float = 4.1
    product_temperature: float = 9.5
    product_flow: float = 0.0
    inlet_valve: float = 30.0
    fill_volume: float = 500.0
    cooling_valve: float = 40.0
    conveyor_speed: float = 0.0

    def advance(self, dt_s: float, room: float) -> int:
        """Advance by ``dt_s`` and return the bottles filled."""
        moved = self.move(dt_s, float(self.speed_setpoint), 1e9, room)
        gauss = self.random.gauss
        outflow = self.speed * self.fill_volume_setpoint / 1000
        error = self.bowl_level_setpoint - self.bowl_level
        self.inlet_valve = _within(outflow / 3.6 + 4.0 * error, 0, 100)
        self.product_flow = lag(self.product_flow, 3.6 * self.inlet_valve, dt_s, 1.5)
        # a bowl of 240 litres
        self.bowl_level = _within(
            self.bowl_level + (self.product_flow - outflow) / 60 * dt_s / 2.4, 0, 100
        )
        warming = 0.004 * self.product_flow
        self.product_temperature = lag(
            self.product_temperature, self.product_temperature_setpoint + warming, dt_s, 45
        ) + gauss(0, 0.005)
        warmth = self.product_temperature - self.product_temperature_setpoint
        self.cooling_valve = _within(22 + 18 * warmth, 0, 100)
        self.co2_pressure = lag(self.co2_pressure, 4.1, dt_s, 20) + gauss(0, 0.004)
        self.bowl_pressure = lag(self.bowl_pressure, 2.2 + self.bowl_level / 100, dt_s, 4) + gauss(
            0, 0.003
        )
        # warm product foams and is filled short
        foam = max(0.0, self.product_temperature - 12) * 0.9
        self.fill_volume = self.fill_volume_setpoint - foam + gauss(0, 0.35)
        self.reject_share = min(0.5, 0.004 + 0.02 * foam)
        self.conveyor_speed = self.speed * 0.0016
        return moved

    @property
    def bowl_low(self) -> bool:
        """Whether the bowl is about to run empty."""
        return self.bowl_level < 20

    @property
    def bowl_high(self) -> bool:
        """Whether the bowl is about to run over."""
        return self.bowl_level > 92

    @property
    def product_warm(self) -> bool:
        """Whether the product is too warm to be filled well."""
        return self.product_temperature > 12

    @property
    def guard_closed(self) -> bool:
        """Whether the safety door is closed; fault 12 is an open door."""
        return self.fault_code != 12

    @property
    def valves(self) -> int:
        """Which of the 16 filling valves are open, one bit each, turning with the carousel."""
        if not self.running:
            return 0
        turned = self.good % 16
        return (0x00FF << turned | 0x00FF >> 16 - turned) & 0xFFFF

    @property
    def alarms(self) -> int:
        """Alarm word: bit 0 fault, 1 bowl low, 2 bowl high, 3 product warm, 4 guard open."""
        flags = (self.faulted, self.bowl_low, self.bowl_high, self.product_warm)
        return _word(*flags, not self.guard_closed)


@dataclass
class Capper(Machine):
    """Screws caps on, four heads, from a hopper that refills itself."""

    torque_setpoint: float = 1.8
    hopper_refill_level: int = 35
    hopper_feed: bool = False
    torque: float = 1.8
    torque_deviation: float = 0.02
    hopper_level: float = 74.0
    vacuum: float = -420.0
    head_1_temperature: float = 27.0
    head_2_temperature: float = 27.4
    head_3_temperature: float = 26.8
    head_4_temperature: float = 27.1
    infeed: int = 0
    discharge: int = 0

    def advance(self, dt_s: float, line_speed: float, available: float, room: float) -> int:
        """Advance by ``dt_s`` and return the bottles capped."""
        moved = self.move(dt_s, 1.06 * line_speed, min(available, self.hopper_level * 100), room)
        gauss = self.random.gauss
        load = self.speed / self.top_speed
        self.hopper_level -= 0.012 * moved
        if self.hopper_level < self.hopper_refill_level:
            self.hopper_feed = True
        elif self.hopper_level > 95:
            self.hopper_feed = False
        if self.hopper_feed:
            self.hopper_level += 1.5 * dt_s
        self.hopper_level = _within(self.hopper_level, 0, 100)
        self.torque = lag(self.torque, self.torque_setpoint, dt_s, 2) + gauss(0, 0.01)
        self.torque_deviation = abs(lag(self.torque_deviation, 0.02 + 0.05 * load, dt_s, 8))
        # caps screwed on too loosely or too tightly are rejected
        self.reject_share = min(0.5, 0.003 + 0.12 * abs(self.torque - 1.8))
        self.vacuum = lag(self.vacuum, -450 + 60 * load, dt_s, 3) + gauss(0, 0.8)
        for head, tau in (("1", 70), ("2", 82), ("3", 76), ("4", 90)):
            name = f"head_{head}_temperature"
            warm = 26 + 21 * load + 0.4 * (self.torque_setpoint - 1.8)
            setattr(self, name, lag(getattr(self, name), warm, dt_s, tau) + gauss(0, 0.01))
        return moved

    @property
    def hopper_low(self) -> bool:
        """Whether caps are about to run out."""
        return self.hopper_level < 15

    @property
    def vacuum_good(self) -> bool:
        """Whether the vacuum holds the caps."""
        return self.vacuum < -350

    @property
    def alarms(self) -> int:
        """Alarm word: bit 0 fault, 1 hopper low, 2 vacuum lost."""
        return _word(self.faulted, self.hopper_low, not self.vacuum_good)


@dataclass
class Labeller(Machine):
    """Glues labels on and looks at them."""

    glue_temperature_setpoint: float = 150.0
    heater: bool = True
    date_code: str = "L24-001"
    batch: str = "BATCH-2024-0001"
    glue_temperature: float = 141.0
    glue_level: float = 88.0
    web_tension: float = 34.0
    roll_remaining: float = 2_400.0
    vision_good: float = 99.6
    infeed: int = 0

    def advance(self, dt_s: float, line_speed: float, available: float) -> int:
        """Advance by ``dt_s`` and return the bottles labelled."""
        moved = self.move(dt_s, 1.1 * line_speed, available, 1e9)
        gauss = self.random.gauss
        target = self.glue_temperature_setpoint if self.heater else 24.0
        self.glue_temperature = lag(self.glue_temperature, target, dt_s, 60) + gauss(0, 0.02)
        self.glue_level = self.glue_level - 0.002 * moved if self.glue_level > 8 else 96.0
        self.roll_remaining -= 0.14 * moved
        if self.roll_remaining < 1:
            self.roll_remaining = 2_400.0
        tension = 34 + 6 * self.speed / self.top_speed
        self.web_tension = lag(self.web_tension, tension, dt_s, 2) + gauss(0, 0.06)
        # cold glue does not hold
        cold = max(0.0, 138 - self.glue_temperature)
        self.reject_share = min(0.6, 0.003 + 0.02 * cold)
        self.vision_good = lag(self.vision_good, 100 * (1 - self.reject_share), dt_s, 12)
        return moved

    @property
    def labels(self) -> int:
        """Labels used."""
        return self.good + self.rejects

    @property
    def total_produced(self) -> int:
        """Bottles since the line was built: a 64-bit counter."""
        return 8_812_004_511 + self.good

    @property
    def glue_ready(self) -> bool:
        """Whether the glue is warm enough."""
        return self.glue_temperature > 138

    @property
    def roll_low(self) -> bool:
        """Whether the roll needs changing soon."""
        return self.roll_remaining < 150

    @property
    def alarms(self) -> int:
        """Alarm word: bit 0 fault, 1 glue cold, 2 roll low."""
        return _word(self.faulted, not self.glue_ready, self.roll_low)


class Plant:
    """The line. Advance it with :meth:`step`; read and set the machines' attributes."""

    def __init__(self, seed: int = 1) -> None:
        random = Random(seed)  # noqa: S311  # physics, not cryptography
        self.filler = Filler(random, faults=(11, 12, 13))
        self.capper = Capper(random, faults=(21, 22), mean_time_between_faults_s=300)
        self.labeller = Labeller(random, faults=(31, 32), mean_time_between_faults_s=400)
        self.to_capper = 12
        self.to_labeller = 8

    def step(self, dt_s: float) -> None:
        """Advance the plant by ``dt_s`` seconds."""
        line_speed = float(self.filler.speed_setpoint)
        self.to_capper += self.filler.advance(dt_s, CONVEYOR_ROOM - self.to_capper)
        before = self.capper.good + self.capper.rejects
        capped = self.capper.advance(
            dt_s, line_speed, self.to_capper, CONVEYOR_ROOM - self.to_labeller
        )
        self.to_capper -= self.capper.good + self.capper.rejects - before
        self.to_labeller += capped
        before = self.labeller.labels
        self.labeller.advance(dt_s, line_speed, self.to_labeller)
        self.to_labeller -= self.labeller.labels - before
        self.capper.infeed, self.capper.discharge = self.to_capper, self.to_labeller
        self.labeller.infeed = self.to_labeller


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _word(*flags: bool) -> int:
    return sum(1 << bit for bit, flag in enumerate(flags) if flag)
