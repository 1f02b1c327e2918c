"""TLS to the broker: who is verified, and what is said when it does not come about."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from edge_node.endpoints import make_endpoint
from edge_node.errors import BrokerError, BrokerUnreachable
from edge_node.mqtt_link import connect
from proto.control.broker import BrokerDocument
from tests.integration.edge.bench import Plc, node_document, press, running, wait_until
from tests.integration.edge.edge_broker import Broker

pytestmark = pytest.mark.trio


class Authority:
    """A certificate authority of its own, made with openssl."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", f"/CN={folder.name}", "-keyout", self._key,
            "-out", self.certificate,
        )  # fmt: skip

    def issue(self, name: str, names: str = "IP:127.0.0.1") -> tuple[Path, Path]:
        """Make a certificate for ``names`` and its key."""
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n", encoding="ascii")
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", request, "-days", "1", "-CA", self.certificate,
            "-CAkey", self._key, "-CAcreateserial", "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return certificate, key

    @staticmethod
    def _openssl(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "plant")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "stranger")


@pytest.fixture
def make_tls_broker(
    make_edge_broker: Callable[..., Broker], authority: Authority
) -> Callable[..., Broker]:
    def make(names: str = "IP:127.0.0.1", *, client_certificates: bool = False) -> Broker:
        certificate, key = authority.issue("broker", names)
        tls = f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}"
        if client_certificates:
            tls += "\nrequire_certificate true"
        return make_edge_broker(tls=tls)

    return make


def document(broker: Broker, **more: Any) -> BrokerDocument:
    return BrokerDocument(url=f"mqtts://127.0.0.1:{broker.port}", **more)


async def refusal(nursery: trio.Nursery, broker: BrokerDocument) -> str:
    with pytest.raises(BrokerError) as caught:
        await connect(nursery, make_endpoint(broker, "tls", {}), lambda: None)
    return str(caught.value)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_a_whole_node_speaks_tls_with_a_client_certificate(
    make_tls_broker: Callable[..., Broker],
    authority: Authority,
    plc: Plc,
    tmp_path: Path,
    protocol: str,
) -> None:
    broker = make_tls_broker(client_certificates=True)
    certificate, key = authority.issue("edge")
    mqtt = {
        "url": f"mqtts://127.0.0.1:{broker.port}",
        "ca_file": authority.certificate,
        "cert_file": certificate,
        "key_file": key,
        "protocol": protocol,
    }
    async with running(node_document(broker, tmp_path, press(plc), mqtt=mqtt)) as node:
        await wait_until(lambda: node.status().counters.births == 2)
        plc.unit.registers[1] = 8
        await wait_until(lambda: node.status().counters.uns_messages >= 5)
        assert node.status().counters.reconnects == 0


async def test_a_large_burst_passes_tls_whole(
    make_tls_broker: Callable[..., Broker], authority: Authority, nursery: trio.Nursery
) -> None:
    broker = make_tls_broker()
    endpoint = make_endpoint(document(broker, ca_file=authority.certificate), "tls", {})
    connection = await connect(nursery, endpoint, lambda: None)
    await connection.subscribe([("echo/#", 1)])
    payloads = [b"%d " % number + bytes(30_000) for number in range(100)]
    for payload in payloads:
        connection.publish("echo/burst", payload, qos=1)
    with trio.fail_after(20):
        received = [await connection.messages.receive() for _ in payloads]
    assert [message.payload for message in received] == payloads
    await connection.disconnect()


async def test_a_certificate_of_a_stranger_is_refused(
    make_tls_broker: Callable[..., Broker], stranger: Authority, nursery: trio.Nursery
) -> None:
    broker = make_tls_broker()
    said = await refusal(nursery, document(broker, ca_file=stranger.certificate))
    assert "the broker's certificate is not accepted" in said
    assert f"mqtts://127.0.0.1:{broker.port}" in said
    said = await refusal(nursery, document(broker))
    assert "the broker's certificate is not accepted: " in said


async def test_a_certificate_for_another_name_is_refused(
    make_tls_broker: Callable[..., Broker], authority: Authority, nursery: trio.Nursery
) -> None:
    broker = make_tls_broker("DNS:elsewhere.example.com")
    said = await refusal(nursery, document(broker, ca_file=authority.certificate))
    assert "not accepted: IP address mismatch, certificate is not valid for '127.0.0.1'" in said


async def test_a_missing_and_a_strangers_client_certificate_are_told(
    make_tls_broker: Callable[..., Broker],
    authority: Authority,
    stranger: Authority,
    nursery: trio.Nursery,
) -> None:
    broker = make_tls_broker(client_certificates=True)
    said = await refusal(nursery, document(broker, ca_file=authority.certificate))
    assert "certificate required" in said or "closed before it was accepted" in said
    certificate, key = stranger.issue("edge")
    said = await refusal(
        nursery,
        document(broker, ca_file=authority.certificate, cert_file=certificate, key_file=key),
    )
    assert "TLS failed" in said or "closed before it was accepted" in said


async def test_tls_to_a_plain_broker_and_plain_to_a_tls_broker_are_told(
    edge_broker: Broker, make_tls_broker: Callable[..., Broker], nursery: trio.Nursery
) -> None:
    said = await refusal(nursery, document(edge_broker))
    assert "TLS failed" in said or "connection reset" in said
    secure = make_tls_broker()
    said = await refusal(nursery, BrokerDocument(url=f"mqtt://127.0.0.1:{secure.port}"))
    assert "closed before it was accepted" in said


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_refused_credentials_are_told_once_and_tried_again_without_a_storm(
    make_edge_broker: Callable[..., Broker], plc: Plc, tmp_path: Path, protocol: str
) -> None:
    broker = make_edge_broker(users={"edge": "right"})
    secret = tmp_path / "secret"
    secret.write_text("wrong\n", encoding="utf-8")
    mqtt = {
        "url": broker.url,
        "protocol": protocol,
        "username": "edge",
        "password_file": secret,
    }
    with capture_logs() as logs:
        async with running(node_document(broker, tmp_path, press(plc), mqtt=mqtt)):
            await wait_until(lambda: _count(logs, "broker_still_away") >= 2)
    (told,) = [entry for entry in logs if entry["event"] == "broker_away"]
    assert "Not authorized; check mqtt.username" in told["reason"]
    assert _count(logs, "broker_still_away") < 5


async def test_a_broker_that_never_answers_is_given_up(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say_nothing(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await trio.sleep_forever()

    monkeypatch.setattr("edge_node.mqtt_link.CONNECT_TIMEOUT_S", 0.2)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, say_nothing, listeners)
    port = listeners[0].socket.getsockname()[1]
    endpoint = make_endpoint(BrokerDocument(url=f"mqtt://127.0.0.1:{port}"), "x", {})
    with pytest.raises(BrokerUnreachable, match=r"no CONNACK within 0\.2 s, expected an MQTT"):
        await connect(nursery, endpoint, lambda: None)
    nursery.cancel_scope.cancel()


def _count(logs: Any, event: str) -> int:
    return sum(entry["event"] == event for entry in logs)
