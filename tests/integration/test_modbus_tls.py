"""Modbus/TCP Security against pymodbus's own TLS server, with certificates made for the test."""

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge_node.drivers.base import DeviceUnreachable, Driver
from edge_node.drivers.modbus.driver import ModbusDriver
from edge_node.drivers.modbus.lines import Lines
from proto.control.modbus import ModbusDevice

pytestmark = pytest.mark.trio


@dataclass
class Identity:
    """A self-signed certificate and its key, as files."""

    cert: Path
    key: Path


def make_identity(folder: Path, name: str) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    identity = Identity(folder / f"{name}.pem", folder / f"{name}.key")
    identity.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    identity.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return identity


@dataclass
class Secured:
    """A running server that wants a client's certificate."""

    port: int
    server: Identity
    client: Identity
    stranger: Identity


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    server, client, stranger = [make_identity(folder, n) for n in ("server", "client", "stranger")]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    context.load_verify_locations(client.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    started = threading.Event()
    running: list[Any] = []

    async def serve() -> None:
        unit = SimDevice(1, SimData(0, values=[7, 8, 9], datatype=DataType.REGISTERS))
        plc = ModbusTlsServer(
            unit, framer=FramerType.SOCKET, address=("127.0.0.1", 0), sslctx=context
        )
        stop = asyncio.Event()
        assert await plc.listen()
        assert isinstance(plc.transport, asyncio.Server)
        running.extend(
            [plc.transport.sockets[0].getsockname()[1], stop, asyncio.get_running_loop()]
        )
        started.set()
        await stop.wait()
        await plc.shutdown()  # type: ignore[no-untyped-call]

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(10)
    port, stop, loop = running
    yield Secured(port, server, client, stranger)
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def driver(secured: Secured, ca: Identity, client: Identity | None, **more: Any) -> Driver:
    connection = {
        "transport": "tls",
        "host": "127.0.0.1",
        "port": secured.port,
        "ca_file": ca.cert,
    }
    if client is not None:
        connection |= {"cert_file": client.cert, "key_file": client.key}
    tags = [{"name": f"w{i}", "address": f"holding:{i}", "datatype": "uint16"} for i in range(3)]
    return ModbusDriver(
        ModbusDevice.model_validate(
            {"name": "D", "driver": "modbus", "connection": connection | more, "tags": tags}
        ),
        Lines(),
    )


async def test_a_secured_plc_is_read_with_certificates_on_both_sides(secured: Secured) -> None:
    device = driver(secured, secured.server, secured.client)
    await device.open()
    for _ in range(3):
        assert (await device.read("default")).values == [7, 8, 9]
    await device.aclose()


async def test_a_server_that_nobody_vouches_for_is_refused(secured: Secured) -> None:
    device = driver(secured, secured.stranger, secured.client)
    with pytest.raises(
        DeviceUnreachable, match=r"cannot be reached: its certificate is refused: self.signed"
    ):
        await device.open()
    await device.aclose()


async def test_a_client_that_the_server_does_not_know_is_not_served(secured: Secured) -> None:
    device = driver(secured, secured.server, secured.stranger)

    async def use() -> None:
        # with TLS 1.3 the server's refusal comes after the client's handshake
        await device.open()
        await device.read("default")

    with pytest.raises(DeviceUnreachable):
        await use()
    await device.aclose()


async def test_a_certificate_file_that_is_missing_is_named(secured: Secured) -> None:
    device = driver(secured, secured.server, None, ca_file="/nowhere/ca.pem")
    with pytest.raises(DeviceUnreachable, match=r"ca_file /nowhere/ca\.pem: No such file"):
        await device.open()
    await device.aclose()
