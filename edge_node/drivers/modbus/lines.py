"""The lines of an edge node: units behind one gateway or on one serial line share it."""

from collections.abc import Awaitable, Callable
from functools import partial

from edge_node.drivers.base import DeviceUnreachable, Trace
from edge_node.drivers.doors import Doors
from edge_node.drivers.modbus.codec import RtuCodec, TcpCodec
from edge_node.drivers.modbus.line import Connect, Line
from edge_node.drivers.modbus.serial_wire import SerialSettings, open_serial
from edge_node.drivers.modbus.shared_line import SharedLine
from edge_node.drivers.modbus.tls_wire import TlsFiles, connect_tls
from edge_node.drivers.modbus.wire import TracedWire, Wire
from edge_node.drivers.tcp import connect_tcp
from proto.control.modbus import ModbusConnection

_Key = tuple[str, str, int, int]


class Lines:
    """Hands out lines and closes those that nobody uses.

    Args:
        connect: makes the connection to a host and port; raises ``OSError``.
        open_port: opens a serial port; raises ``OSError``.
        trace: is told every byte that is sent and received.
        doors: count the connections to each server; those of these lines alone when absent.
    """

    def __init__(
        self,
        connect: Callable[[str, int], Awaitable[Wire]] = connect_tcp,
        open_port: Callable[[SerialSettings], Awaitable[Wire]] = open_serial,
        trace: Trace | None = None,
        doors: Doors | None = None,
    ) -> None:
        self._doors = doors or Doors()
        self._trace = trace
        self._connect = connect
        self._open_port = open_port
        self._shared: dict[_Key, SharedLine] = {}
        self._settings: dict[str, SerialSettings] = {}

    def take(self, connection: ModbusConnection) -> SharedLine:
        """Return the line to a server, the same for all that share it.

        Raises:
            DeviceUnreachable: a serial port is in use with other settings.
        """
        if connection.transport == "rtu":
            line = self._take_serial(connection)
        else:
            key = (
                connection.transport,
                connection.host,
                connection.port,
                connection.max_in_flight,
            )
            # two connections to one serial device server would talk into each other
            shared = connection.shared or connection.transport == "rtu-over-tcp"
            line = (self._shared.get(key) if shared else None) or self._make(connection)
            if shared:
                self._shared[key] = line
        line.users += 1
        return line

    def give_back(self, line: SharedLine) -> None:
        """Stop using a line; the last user closes it."""
        line.users -= 1
        if line.users == 0:
            line.close()
            self._shared = {key: one for key, one in self._shared.items() if one is not line}

    def _make(self, connection: ModbusConnection) -> SharedLine:
        is_rtu = connection.transport == "rtu-over-tcp"
        connect: Connect = partial(self._connect, connection.host, connection.port)
        if connection.transport == "tls":
            files = TlsFiles(connection.ca_file, connection.cert_file, connection.key_file)
            connect = partial(connect_tls, connection.host, connection.port, files)

        def make_line() -> Line:
            host, port = connection.host, connection.port
            return Line(
                f"{host}:{port}",
                self._traced(connect),
                RtuCodec if is_rtu else TcpCodec,
                connection.max_in_flight,
                settle_s=connection.connect_pause_s,
                door=self._doors.make(host, port, connection.max_connections),
            )

        return SharedLine(make_line, has_spare=not is_rtu and connection.max_connections != 1)

    def _traced(self, connect: Connect) -> Connect:
        trace = self._trace
        if trace is None:
            return connect

        async def connect_traced() -> Wire:
            return TracedWire(await connect(), trace)

        return connect_traced

    def _take_serial(self, connection: ModbusConnection) -> SharedLine:
        port = connection.serial_port
        key = (connection.transport, port, 0, 1)
        settings = SerialSettings(
            port, connection.baud_rate, connection.parity, connection.stop_bits
        )
        line = self._shared.get(key)
        if line is None:
            make_line = partial(
                Line,
                port,
                self._traced(partial(self._open_port, settings)),
                RtuCodec,
                settle_s=connection.connect_pause_s,
            )
            line = self._shared[key] = SharedLine(make_line, has_spare=False)
            self._settings[port] = settings
        elif self._settings[port] != settings:
            raise DeviceUnreachable(
                f"{port} is in use at {self._settings[port]}, expected the same as {settings} here"
            )
        return line
