import pytest

from edge_node.drivers.opcua.profiles import PROFILES, batch_size, detect_profile


@pytest.mark.parametrize(
    ("names", "profile", "batch"),
    [
        (("SIMATIC S7-1200 OPC UA Server", "", "Siemens AG"), "s7-1200", 100),
        (("", "https://www.siemens.com/s7-1500", "Siemens AG"), "s7-1500", 500),
        (("", "", "", "urn:SIMATIC.S7-1500.OPC-UA.Application:PLC_1"), "s7-1500", 500),
        (("Ignition OPC UA Server", "", "Inductive Automation"), "ignition", 100),
        (("KEPServerEX", "", "PTC"), "kepware", 1000),
        (("FreeOpcUa Python Server", "", "FreeOpcUa"), "default", 1000),
    ],
)
def test_a_server_is_known_by_what_it_says_of_itself(
    names: tuple[str, ...], profile: str, batch: int
) -> None:
    found = detect_profile(*names)
    assert (found.name, found.batch) == (profile, batch)


def test_an_s7_1200_gets_no_filters() -> None:
    assert [name for name, profile in PROFILES.items() if not profile.filters] == ["s7-1200"]


def test_the_servers_own_limit_counts_and_so_does_the_configured_one() -> None:
    default = PROFILES["default"]
    assert batch_size(default, 0, None) == 1000
    assert batch_size(default, 250, None) == 250
    assert batch_size(default, 5000, None) == 1000
    assert batch_size(default, 0, 4000) == 4000
    assert batch_size(default, 250, 4000) == 250
