import subprocess
import sys

from edge_node.drivers.base import Subscriber
from edge_node.drivers.registry import Drivers
from tests.unit.edge_node.drivers.opcua.test_points import device


def test_a_node_without_opc_ua_does_not_load_its_library() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import edge_node.cli, sys; print('asyncua' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "False\n"


def test_a_subscribed_group_makes_the_driver_a_subscriber() -> None:
    tag = {"name": "t", "address": "i=2258", "datatype": "datetime"}
    driver = Drivers().make(device(tag))
    assert isinstance(driver, Subscriber)
    assert driver.subscribed == frozenset({"default"})
