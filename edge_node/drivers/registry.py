"""Which driver reads which device: an explicit table, so that importing has no effects."""

from edge_node.drivers.base import Driver, Trace
from edge_node.drivers.modbus.driver import ModbusDriver
from edge_node.drivers.modbus.lines import Lines
from proto.control.device import DeviceDocument


class Drivers:
    """Makes the drivers of one edge node; devices behind one gateway share its connection.

    Args:
        trace: is told every byte that is sent and received.
    """

    def __init__(self, trace: Trace | None = None) -> None:
        lines = Lines(trace=trace)
        self._makers = {"modbus": lambda document: ModbusDriver(document, lines)}

    def make(self, document: DeviceDocument) -> Driver:
        """Return the driver of a device, not yet open.

        Raises:
            ConfigError: every mistake that only the driver can see, at once.
        """
        return self._makers[document.driver](document)
