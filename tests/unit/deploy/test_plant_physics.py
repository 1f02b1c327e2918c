import pytest

from deploy.local.plant.image import ILLEGAL_ADDRESS, ILLEGAL_VALUE, UnitImage
from deploy.local.plant.layout import CAPPER, FILLER, LABELLER, UNITS, Unit
from deploy.local.plant.machine import State, lag
from deploy.local.plant.physics import CONVEYOR_ROOM, Plant
from deploy.local.plant.words import from_registers, to_registers


def run(plant: Plant, seconds: float, step_s: float = 0.1) -> None:
    for _ in range(round(seconds / step_s)):
        plant.step(step_s)


def calm(seed: int = 1) -> Plant:
    """Return a plant in which nothing fails."""
    plant = Plant(seed)
    for machine in (plant.filler, plant.capper, plant.labeller):
        machine.mean_time_between_faults_s = 1e12
    return plant


def states(plant: Plant) -> list[State]:
    return [machine.state for machine in (plant.filler, plant.capper, plant.labeller)]


def snapshot(plant: Plant) -> list[list[int]]:
    return [
        image.registers(register)
        for image in (UnitImage(unit, plant) for unit in UNITS)
        for register in image.unit.registers
    ]


def test_the_same_seed_gives_the_same_plant() -> None:
    one, same, other = Plant(7), Plant(7), Plant(8)
    for plant in (one, same, other):
        run(plant, 120)
    assert snapshot(one) == snapshot(same) != snapshot(other)


def test_bottles_go_down_the_line_and_none_vanishes() -> None:
    plant = Plant(3)
    started = plant.to_capper + plant.to_labeller
    run(plant, 1800)
    assert plant.labeller.good > 5000
    assert plant.filler.good + started == (
        plant.labeller.labels + plant.to_labeller + plant.to_capper + plant.capper.rejects
    )
    assert 0 <= plant.to_capper <= CONVEYOR_ROOM
    assert 0 <= plant.to_labeller <= CONVEYOR_ROOM


def test_the_speed_setpoint_really_changes_the_process() -> None:
    plant = calm()
    run(plant, 60)
    assert plant.filler.speed == pytest.approx(320, rel=0.01)
    before, bottles = plant.filler.motor_current, plant.filler.good
    plant.filler.speed_setpoint = 500
    run(plant, 60)
    assert plant.filler.speed == pytest.approx(500, rel=0.01)
    assert plant.filler.motor_current > before + 1
    assert plant.filler.good - bottles > 450
    plant.filler.speed_setpoint = 0
    run(plant, 30)
    assert plant.filler.state is State.STOPPED
    assert plant.labeller.speed < 1


def test_the_bowl_follows_its_level_setpoint() -> None:
    plant = calm()
    for level in (40.0, 80.0):
        plant.filler.bowl_level_setpoint = level
        run(plant, 300)
        assert plant.filler.bowl_level == pytest.approx(level, abs=3)


def test_the_product_cools_slowly_and_warm_product_is_rejected_more() -> None:
    plant = calm()
    plant.filler.product_temperature_setpoint = 20.0
    before = plant.filler.product_temperature
    run(plant, 10)
    assert before < plant.filler.product_temperature < 15
    run(plant, 400)
    assert plant.filler.product_temperature == pytest.approx(20.6, abs=0.6)
    assert plant.filler.product_warm
    assert plant.filler.reject_share > 0.05


def test_a_fault_stops_the_machine_and_then_those_before_it() -> None:
    plant = calm()
    run(plant, 30)
    plant.labeller.fault_code = 31
    plant.labeller._fault_left_s = 1e6
    run(plant, 120)
    assert states(plant) == [State.SUSPENDED, State.SUSPENDED, State.ABORTED]
    plant.labeller.reset = True
    run(plant, 60)
    assert not plant.labeller.reset
    assert states(plant) == [State.EXECUTE] * 3


def test_faults_happen_now_and_then_and_pass() -> None:
    plant = Plant(5)
    faulted = 0
    for _ in range(36_000):
        plant.step(0.1)
        faulted += plant.filler.faulted
    assert 0.01 < faulted / 36_000 < 0.2


def test_glue_warms_with_a_lag_and_cools_without_its_heater() -> None:
    plant = calm()
    run(plant, 300)
    assert plant.labeller.glue_temperature == pytest.approx(150, abs=1)
    plant.labeller.heater = False
    run(plant, 60)
    assert plant.labeller.glue_temperature < 80
    assert not plant.labeller.glue_ready
    assert plant.labeller.reject_share > 0.1


def test_physical_values_stay_physical_for_hours() -> None:
    plant = Plant(11)
    for _ in range(20_000):
        plant.step(0.5)
        assert 0 <= plant.filler.bowl_level <= 100
        assert 2 < plant.filler.bowl_pressure < 4
        assert 20 <= plant.filler.motor_temperature <= 80
        assert 0 <= plant.capper.hopper_level <= 100
        assert -500 < plant.capper.vacuum < -300
        assert 0 <= plant.labeller.roll_remaining <= 2400
        assert 0 <= plant.filler.valves <= 0xFFFF


def test_a_lag_covers_63_percent_in_its_time_constant() -> None:
    assert lag(0, 100, 5, 5) == pytest.approx(63.2, abs=0.1)
    assert lag(0, 100, 1e6, 5) == pytest.approx(100)


def test_the_line_has_at_least_60_registers_and_coils_that_do_not_overlap() -> None:
    assert sum(len(unit.registers) + len(unit.bits) for unit in UNITS) >= 60
    for unit in UNITS:
        taken = [
            (register.table, at)
            for register in unit.registers
            for at in range(register.address, register.address + register.width)
        ] + [(bit.table, bit.address) for bit in unit.bits]
        assert len(taken) == len(set(taken))
    kinds = {(r.kind, r.order) for unit in UNITS for r in unit.registers}
    for order in ("big", "little", "big-swapped"):
        assert ("float32", order) in kinds
    assert ("int32", "little-swapped") in kinds


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.machine)
def test_every_item_of_the_layout_can_be_shown_after_hours(unit: Unit) -> None:
    plant = Plant(2)
    run(plant, 3600, 0.5)
    image = UnitImage(unit, plant)
    for register in unit.registers:
        registers = image.registers(register)
        assert len(registers) == register.width
        assert all(0 <= word <= 0xFFFF for word in registers)
    assert {type(image.bit(bit.source)) for bit in unit.bits} == {bool}


def test_writes_reach_the_machine() -> None:
    plant = Plant()
    filler, capper = UnitImage(FILLER, plant), UnitImage(CAPPER, plant)
    assert filler.write_registers(0, [450, 750]) == 0
    assert (plant.filler.speed_setpoint, plant.filler.fill_volume_setpoint) == (450, 750)
    assert capper.write_registers(0, to_registers(2.5, "float32", "little")) == 0
    assert plant.capper.torque_setpoint == 2.5
    assert filler.write_registers(10, to_registers("Cola", "string", length=16)) == 0
    assert plant.filler.recipe == "Cola"
    assert filler.write_coils(0, [False, True]) == 0
    assert (plant.filler.run, plant.filler.reset) == (False, True)


@pytest.mark.parametrize(
    ("unit", "address", "values", "code"),
    [
        (FILLER, 0, [601], ILLEGAL_VALUE),
        (FILLER, 2, to_registers(float("nan"), "float32"), ILLEGAL_VALUE),
        (FILLER, 2, to_registers(19.9, "float32"), ILLEGAL_VALUE),
        (FILLER, 2, [0x4120], ILLEGAL_ADDRESS),
        (FILLER, 3, [0, 0], ILLEGAL_ADDRESS),
        (FILLER, 6, [1], ILLEGAL_ADDRESS),
        (FILLER, 10, to_registers("a\x07b", "string", length=16), ILLEGAL_VALUE),
        (LABELLER, 20, to_registers("X", "string", length=20), ILLEGAL_ADDRESS),
    ],
)
def test_what_cannot_be_written_is_refused_whole(
    unit: Unit, address: int, values: list[int], code: int
) -> None:
    plant = Plant()
    before = snapshot(plant)
    assert UnitImage(unit, plant).write_registers(address, values) == code
    assert snapshot(plant) == before


def test_an_unknown_coil_is_refused() -> None:
    assert UnitImage(CAPPER, Plant()).write_coils(2, [True, True]) == ILLEGAL_ADDRESS


@pytest.mark.parametrize("order", ["big", "little", "big-swapped", "little-swapped"])
def test_words_come_back_as_they_went(order: str) -> None:
    registers = to_registers(-1.25, "float64", order)  # type: ignore[arg-type]
    assert from_registers(registers, "float64", order) == -1.25  # type: ignore[arg-type]
