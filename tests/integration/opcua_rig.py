"""A real OPC UA server, asyncua's, in a thread of its own; what a test wants of it is one call."""

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from asyncua import Server, ua
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole
from asyncua.server.user_managers import UserManager

from edge_node.drivers.opcua.driver import OpcUaDriver
from proto.control.opcua import OpcUaDevice

T = TypeVar("T")

URI = "urn:plant:press"
PATIENCE_S = 60.0


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Passwords(UserManager):  # type: ignore[misc]  # an untyped library
    """Knows one user: ``operator`` with ``secret``."""

    def get_user(
        self,
        iserver: Any,  # noqa: ARG002  # the library calls it so
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        if certificate is not None and username is None and password is None:
            return User(role=UserRole.User)
        if (username, password) == ("operator", "secret"):
            return User(role=UserRole.User)
        return None


class OpcUaServer:
    """One server; its address space is made by ``fill`` each time it starts.

    Args:
        fill: adds nodes to the server, whose namespace index for ``URI`` it is given.
        port: of the server; a free one when 0.
        policies: security policies, ``NoSecurity`` when absent.
        pki: the server's own certificate and key.
        passwords: whether only ``operator`` may sign in.
        other_namespaces: registered before ``URI``, so that its index moves.
    """

    def __init__(
        self,
        fill: Callable[[Server, int], Awaitable[None]] | None = None,
        *,
        port: int = 0,
        policies: Sequence[Any] = (),
        pki: tuple[Path, Path] | None = None,
        passwords: bool = False,
        other_namespaces: Sequence[str] = (),
    ) -> None:
        self.port = port or free_port()
        self.url = f"opc.tcp://127.0.0.1:{self.port}/press"
        self.index = 0
        self._fill = fill or plain_nodes
        self._policies = policies
        self._pki = pki
        self._passwords = passwords
        self.other_namespaces = list(other_namespaces)
        self.prepare: Callable[[Server], Awaitable[None]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.server: Any = None

    def start(self) -> "OpcUaServer":
        logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
        ready = threading.Event()
        self._loop = asyncio.SelectorEventLoop()  # trio_asyncio takes new_event_loop for itself
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()
        self.call(self._start())
        return self

    def stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self.call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    def node_id(self, name: str) -> Any:
        return ua.NodeId(name, self.index)

    def write(self, name: str, value: Any, kind: Any = None) -> None:
        """Change a variable as the PLC would."""
        node = self.server.get_node(self.node_id(name))
        self.call(node.write_value(ua.Variant(value, kind) if kind is not None else value))

    def write_data(self, name: str, value: Any) -> None:
        """Change a variable with a status or time of its own."""
        self.call(self.server.get_node(self.node_id(name)).write_value(value))

    def read(self, name: str) -> Any:
        return self.call(self.server.get_node(self.node_id(name)).read_value())

    def delete(self, name: str) -> None:
        self.call(self.server.delete_nodes([self.server.get_node(self.node_id(name))]))

    def add(self, name: str, value: Any, kind: Any = None) -> None:
        self.call(add_variable(self.server, self.index, name, value, kind))

    def _run(self, ready: threading.Event) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(ready.set)
        self._loop.run_forever()

    async def _stop(self) -> None:
        """Stop, and end what the library leaves behind."""
        await self.server.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _start(self) -> None:
        manager = Passwords() if self._passwords else None
        server = Server(user_manager=manager)
        await server.init()
        server.set_endpoint(self.url)
        server.set_server_name("Press")
        if self._pki is not None:
            await server.set_application_uri("urn:plant:server")
            await server.load_certificate(self._pki[0])
            await server.load_private_key(self._pki[1])
        if self._policies:
            rules = SimpleRoleRuleset() if self._passwords else None
            server.set_security_policy(list(self._policies), permission_ruleset=rules)
        else:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        if self._passwords:
            server.set_identity_tokens([ua.UserNameIdentityToken, ua.X509IdentityToken])
        for uri in self.other_namespaces:
            await server.register_namespace(uri)
        self.index = await server.register_namespace(URI)
        if self.prepare is not None:
            await self.prepare(server)
        await self._fill(server, self.index)
        await server.start()
        self.server = server


async def add_variable(  # noqa: PLR0917  # as the library's own
    server: Any, index: int, name: str, value: Any, kind: Any = None, parent: Any = None
) -> Any:
    parent = parent or server.nodes.objects
    node = await parent.add_variable(
        ua.NodeId(name, index), ua.QualifiedName(name, index), value, kind
    )
    await node.set_writable()
    return node


async def plain_nodes(server: Any, index: int) -> None:
    """Three variables: ``temp`` 20.5 (Double), ``count`` 7 (Int32), ``name`` (String)."""
    await add_variable(server, index, "temp", 20.5, ua.VariantType.Double)
    await add_variable(server, index, "count", 7, ua.VariantType.Int32)
    await add_variable(server, index, "name", "press", ua.VariantType.String)


def document(url: str, *tags: dict[str, Any], **changes: Any) -> OpcUaDevice:
    """A device with tags on namespace ``URI``; ``connection`` keys among the changes go there."""
    connection = {"url": url, "timeout_s": 5.0, **changes.pop("connection", {})}
    return OpcUaDevice.model_validate(
        {
            "name": "press",
            "driver": "opcua",
            "connection": connection,
            "poll_groups": [{"name": "default", "interval_s": 0.1}],
            "tags": [{"address": f"nsu={URI};s={tag['name']}", **tag} for tag in tags],
            **changes,
        }
    )


def make_driver(url: str, *tags: dict[str, Any], **changes: Any) -> OpcUaDriver:
    return OpcUaDriver(document(url, *tags, **changes))
