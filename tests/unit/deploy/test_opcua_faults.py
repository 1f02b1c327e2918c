"""Faults of the simulated OPC UA server: what can be asked for, and how often it happens."""

from random import Random

import pytest
from asyncua import ua
from click.testing import CliRunner

from deploy.local.plant.faults import Fault
from deploy.local.plant.opcua_faults import WireFaults, parse_opcua_fault
from deploy.local.simulate_opcua import opcua


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("delay=0.2", Fault("delay", 0.2)),
        ("drop", Fault("drop", 1.0)),
        ("exception", Fault("exception", ua.StatusCodes.BadInternalError)),
        (
            "exception=BadTooManyOperations",
            Fault("exception", ua.StatusCodes.BadTooManyOperations),
        ),
        ("restart=60", Fault("restart", 60)),
        ("2:recreate=5", Fault("recreate", 5, 2)),
        ("3:status=BadDeviceFailure", Fault("status", ua.StatusCodes.BadDeviceFailure, 3)),
        (
            "status=UncertainLastUsableValue",
            Fault("status", ua.StatusCodes.UncertainLastUsableValue),
        ),
    ],
)
def test_a_fault_is_read(text: str, fault: Fault) -> None:
    assert parse_opcua_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("explode", "not understood, expected delay=SECONDS"),
        ("drop=2", "value is 2, expected 0 to 1"),
        ("status=Nonsense", "'Nonsense' is no status code"),
        ("status", "'' is no status code"),
        ("status=Good", "'Good' is no status code"),
        ("exception=UncertainLastUsableValue", "expected one such as BadDeviceFailure"),
        ("2:delay=1", "concerns the whole server"),
        ("0:recreate", "device is 0"),
        ("restart=0.1", "expected 5 to"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_opcua_fault(text)


def test_a_share_of_answers_has_the_fault() -> None:
    faults = WireFaults([Fault("drop", 0.25), Fault("delay", 0.5)], Random(1))  # noqa: S311
    dropped = sum(faults.happens("drop") for _ in range(1000))
    assert 200 < dropped < 300
    assert not any(faults.happens("garbage") for _ in range(100))
    assert (faults.seconds("delay"), faults.seconds("slow")) == (0.5, 0)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--fault", "nonsense"], "not understood"),
        (["--user", "operator"], "has no password, expected NEXUS_SIMULATE_PASSWORD"),
        (["--password-file", __file__], "expected --user"),
        (["--security", "Basic128Rsa15"], "is not one of"),
    ],
)
def test_what_cannot_be_served_ends_with_status_2(arguments: list[str], reason: str) -> None:
    done = CliRunner().invoke(opcua, arguments, env={"NEXUS_SIMULATE_PASSWORD": ""})
    assert done.exit_code == 2
    assert reason in done.output
