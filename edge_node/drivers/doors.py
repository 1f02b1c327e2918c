"""How many connections an edge node holds to one server at a time.

A PLC has few connections, and gives none to others while it is full. Every connection of the node
passes a door at its server's host and port; where the device has a limit, it waits in the order of
coming until fewer are open. Knows no protocol.
"""

from collections import deque

import trio

from edge_node.drivers.base import CannotConnect


class _Server:
    """What is open at one host and port, and who waits."""

    __slots__ = ("open", "waiting")

    def __init__(self) -> None:
        self.open = 0
        self.waiting: deque[tuple[int, trio.Event]] = deque()

    def admit(self) -> None:
        """Let in who has waited longest, as far as there is room for them."""
        while self.waiting and self.open < self.waiting[0][0]:
            self.open += 1
            self.waiting.popleft()[1].set()


class Doors:
    """The doors of one node's connections."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, int], _Server] = {}

    def make(self, host: str, port: int, most: int | None = None) -> "Door":
        """Return the door of one connection.

        Args:
            host: of the server, as configured.
            port: see ``host``.
            most: how many connections may be open there with this one, ``None`` for any number.
        """
        server = self._servers.setdefault((host.casefold(), port), _Server())
        return Door(f"{host}:{port}", server, most)


class Door:
    """The right of one connection to be."""

    __slots__ = ("_entered", "_most", "_name", "_server")

    def __init__(self, name: str, server: _Server, most: int | None) -> None:
        self._name = name
        self._server = server
        self._most = most
        self._entered = False

    async def enter(self, patience_s: float) -> None:
        """Wait until one more connection may be opened; at once when it was entered before.

        Raises:
            CannotConnect: none became free in time.
        """
        if self._entered:
            return
        server, most = self._server, self._most
        if most is not None and (server.open >= most or server.waiting):
            await self._wait(server, most, patience_s)
        else:
            server.open += 1
        self._entered = True

    async def _wait(self, server: _Server, most: int, patience_s: float) -> None:
        admitted = trio.Event()
        place = most, admitted
        server.waiting.append(place)
        server.admit()
        try:
            with trio.move_on_after(patience_s):
                await admitted.wait()
        except BaseException:
            if admitted.is_set():
                server.open -= 1
            raise
        finally:
            if not admitted.is_set():
                server.waiting.remove(place)
            server.admit()
        if not admitted.is_set():
            raise CannotConnect(
                f"{self._name} has {server.open} connections of this node, expected fewer than"
                f" max_connections, {most}: waiting for one to be free"
            )

    def leave(self) -> None:
        """Note that the connection is closed, if it was open; never raises."""
        if self._entered:
            self._entered = False
            self._server.open -= 1
            self._server.admit()
