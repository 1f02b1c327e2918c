"""Which driver reads which device: an explicit choice, so that importing has no effects."""

from typing import TYPE_CHECKING

from edge_node.drivers.base import Driver, Trace
from edge_node.drivers.doors import Doors
from edge_node.drivers.modbus.driver import ModbusDriver
from edge_node.drivers.modbus.lines import Lines
from edge_node.drivers.s7.driver import S7Driver
from edge_node.drivers.s7.link import Links
from proto.control.devices import DeviceDocument
from proto.control.opcua import OpcUaDevice
from proto.control.s7 import S7Device

if TYPE_CHECKING:
    from edge_node.drivers.opcua.shared import Links as OpcUaLinks


class Drivers:
    """Makes the drivers of one edge node; devices behind one gateway share its connection.

    Args:
        trace: is told every byte that is sent and received.
    """

    def __init__(self, trace: Trace | None = None) -> None:
        doors = Doors()
        self._lines = Lines(trace=trace, doors=doors)
        self._s7_links = Links(trace, doors)
        self._trace = trace
        self._opcua_links: OpcUaLinks | None = None

    def make(self, document: DeviceDocument) -> Driver:
        """Return the driver of a device, not yet open.

        Raises:
            ConfigError: every mistake that only the driver can see, at once.
        """
        if isinstance(document, S7Device):
            return S7Driver(document, self._s7_links)
        if isinstance(document, OpcUaDevice):
            # Its client library takes 24 MiB, which a gateway without OPC UA has better uses for.
            from edge_node.drivers.opcua.driver import OpcUaDriver  # noqa: PLC0415
            from edge_node.drivers.opcua.shared import Links as OpcUaLinks  # noqa: PLC0415

            self._opcua_links = self._opcua_links or OpcUaLinks(self._trace)
            return OpcUaDriver(document, self._opcua_links)
        return ModbusDriver(document, self._lines)
