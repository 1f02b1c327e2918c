"""The lines of an edge node: units behind one gateway share one connection."""

from collections.abc import Awaitable, Callable
from functools import partial

from edge_node.drivers.modbus.codec import TcpCodec
from edge_node.drivers.modbus.line import Line
from edge_node.drivers.modbus.wire import Wire, connect_tcp
from proto.control.device import ModbusConnection


class Lines:
    """Hands out lines and closes those that nobody uses.

    Args:
        connect: makes the connection to a host and port; raises ``OSError``.
    """

    def __init__(self, connect: Callable[[str, int], Awaitable[Wire]] = connect_tcp) -> None:
        self._connect = connect
        self._shared: dict[tuple[str, int, int], Line] = {}

    def take(self, connection: ModbusConnection) -> Line:
        """Return the line to a server, the same for all that share it."""
        key = (connection.host, connection.port, connection.max_in_flight)
        line = self._shared.get(key) if connection.shared else None
        if line is None:
            line = Line(
                f"{connection.host}:{connection.port}",
                partial(self._connect, connection.host, connection.port),
                TcpCodec,
                connection.max_in_flight,
            )
            if connection.shared:
                self._shared[key] = line
        line.users += 1
        return line

    def give_back(self, line: Line) -> None:
        """Stop using a line; the last user closes it."""
        line.users -= 1
        if line.users == 0:
            line.close()
            self._shared = {key: one for key, one in self._shared.items() if one is not line}
