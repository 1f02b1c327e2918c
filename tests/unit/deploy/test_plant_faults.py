import pytest

from deploy.local.plant.faults import Behaviour, Fault, Faults, parse_fault
from deploy.local.simulate_s7 import parse_s7_fault

ANSWER = bytes.fromhex("0007 0000 0005 02 03 02 1234")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop", Fault("drop", 1.0)),
        ("drop=0.25", Fault("drop", 0.25)),
        ("7:delay=0.2", Fault("delay", 0.2, 7)),
        ("1:exception=6", Fault("exception", 6, 1)),
        ("slow", Fault("slow", 0.05)),
    ],
)
def test_a_fault_is_read_from_its_text(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explode", r"not understood, expected \[DEVICE:\]KIND"),
        ("x:drop", "not understood"),
        ("drop=often", "not understood"),
        ("drop=2", "value is 2, expected 0 to 1"),
        ("exception=0", "value is 0, expected 1 to 255"),
        ("0:drop", "device is 0, expected 1 or above"),
        ("delay=nan", "value is nan"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_fault(text)


def behave(*texts: str, device: int = 1) -> Behaviour:
    return Faults([parse_fault(text) for text in texts]).behaviour(device, ANSWER)


def test_each_fault_does_what_it_says() -> None:
    assert behave() == Behaviour(0, [ANSWER])
    assert behave("delay=2") == Behaviour(2, [ANSWER])
    assert behave("drop") == Behaviour(0, [])
    assert behave("exception=6") == Behaviour(0, [bytes.fromhex("0007 0000 0003 02 83 06")])
    assert behave("disconnect") == Behaviour(0, [], hang_up=True)
    slow = behave("slow=0.1")
    assert (b"".join(slow.pieces), len(slow.pieces), slow.apart_s) == (ANSWER, len(ANSWER), 0.1)
    (garbage,) = behave("garbage").pieces
    assert len(garbage) == len(ANSWER)
    assert garbage != ANSWER


def test_faults_meet_only_their_device_and_add_up() -> None:
    assert behave("2:drop", device=1) == Behaviour(0, [ANSWER])
    assert behave("2:drop", device=2) == Behaviour(0, [])
    assert behave("delay=1", "delay=2", "exception=4").wait_s == 3


def test_a_share_is_kept_over_many_requests() -> None:
    faults = Faults([parse_fault("drop=0.25")])
    dropped = sum(not faults.behaviour(1, ANSWER).pieces for _ in range(4000))
    assert 900 < dropped < 1100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explode", r"not understood, expected \[DEVICE:\]KIND"),
        ("exception=70000", "value is 70000, expected 1 to 65535"),
    ],
)
def test_a_fault_that_no_s7_cpu_can_have_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_s7_fault(text)
