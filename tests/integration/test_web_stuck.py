"""A browser that takes nothing any more, on a real socket: it is let go, nobody waits for it."""

import asyncio
import json
import socket
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect

from host_app.audit import Audit
from host_app.database import Database
from host_app.service import HostService
from host_app.users import Role, User, Users
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.node_view import MetricView, NodeView
from proto.sparkplug.topics import NodeId
from web.app import create_app
from web.context import WebOptions
from web.server import open_socket, run_server

NODES, METRICS = 80, 1_000
"""More than any socket buffers."""


class BigPlant(HostService):
    """A host without brokers that knows a big plant."""

    def __init__(self, audit: Audit) -> None:
        super().__init__("nexus", [], audit)
        self.views = {}
        for number in range(NODES):
            view = NodeView(NodeId("plant", str(number)))
            for tag in range(METRICS):
                view.metrics[f"tag {tag}"] = MetricView(f"tag {tag}", DataType.INT32)
            self.views[view.node] = view

    def nodes(self) -> Iterator[NodeView]:
        yield from self.views.values()

    def node(self, node: NodeId) -> NodeView | None:
        return self.views.get(node)


@pytest.mark.asyncio
async def test_stuck_browser_is_let_go_while_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("web.api.live.SEND_TIMEOUT_S", 0.5)
    database = Database(None)
    users, audit = Users(database), Audit(database)
    users._known["ada"] = User("ada", Role.VIEWER, 1)
    service = BigPlant(audit)
    app, hub = create_app(service, users, audit, database)
    cookie = "nexus_session=" + app.extensions["QUART_AUTH"][0].dump_token("1:ada", app=app)
    stop = asyncio.Event()
    sock = open_socket("127.0.0.1", 0)
    host, port = sock.getsockname()[:2]
    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(hub.run())
        tasks.create_task(run_server(app, sock, WebOptions(), None, stop))
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(stuck, (host, port))
            await loop.sock_sendall(stuck, _upgrade(host, port, cookie))
            url = f"ws://{host}:{port}/api/v1/live"
            headers = {"Cookie": cookie}
            async with connect(url, additional_headers=headers, max_size=None) as browser:
                async with asyncio.timeout(20):
                    told = 0
                    while told < NODES:
                        message = json.loads(await browser.recv())
                        told += len(message.get("nodes", [])) or message["type"] == "node"
                    while hub.client_count > 1:  # noqa: ASYNC110  # the hub tells nobody
                        await asyncio.sleep(0.02)
                node, view = next(iter(service.views.items()))
                view.metrics["tag 0"].value = 7
                hub.values_changed(node, None, [view.metrics["tag 0"]])
                async with asyncio.timeout(5):
                    assert json.loads(await browser.recv())["type"] == "values"
        hub.close()
        stop.set()
        feeding.cancel()


def _upgrade(host: str, port: int, cookie: str) -> bytes:
    lines = [
        "GET /api/v1/live HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        f"Cookie: {cookie}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()
