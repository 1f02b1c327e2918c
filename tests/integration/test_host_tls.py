"""The host's way to a broker that wants TLS, certificates or a password."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_app.errors import BrokerRefused, BrokerUnreachable, ConfigError
from host_app.mqtt_link import connect
from host_app.settings import BrokerFiles, Secrets, make_endpoints
from tests.conftest import leave_out
from tests.integration.edge.edge_broker import Broker, find_mosquitto
from tests.integration.edge.test_edge_tls import Authority

NOBODY = Secrets()


@contextlib.contextmanager
def broker(folder: Path, **settings: object) -> Iterator[Broker]:
    if find_mosquitto() is None:
        leave_out("mosquitto is not installed")
    folder.mkdir()
    made = Broker(folder, **settings)  # type: ignore[arg-type]  # passed on as they are
    try:
        yield made
    finally:
        made.stop()


def tls(authority: Authority, names: str = "IP:127.0.0.1", *, mutual: bool = False) -> str:
    certificate, key = authority.issue("broker", names)
    lines = f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}"
    return f"{lines}\nrequire_certificate true" if mutual else lines


async def try_connecting(
    port: int, files: BrokerFiles, secrets: Secrets = NOBODY, scheme: str = "mqtts"
) -> None:
    [endpoint] = make_endpoints(
        [f"{scheme}://127.0.0.1:{port}"],
        "nexus",
        secrets,
        protocol="3.1.1",
        files=files,
        keep_alive_s=10,
    )
    connection = await connect(endpoint, lambda: None)
    await connection.subscribe([("spBv1.0/#", 1)])
    await connection.disconnect()


@pytest.mark.asyncio
async def test_host_shows_its_certificate_and_checks_the_brokers(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "plant")
    certificate, key = authority.issue("host")
    with broker(tmp_path / "broker", tls=tls(authority, mutual=True)) as made:
        await try_connecting(made.port, BrokerFiles(authority.certificate, certificate, key))
        with pytest.raises(BrokerUnreachable, match=r"TLS failed|connection closed|closed by"):
            await try_connecting(made.port, BrokerFiles(authority.certificate))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("names", "own", "reason"),
    [
        ("IP:127.0.0.1", False, "certificate is not accepted: unable to get|self.signed"),
        ("DNS:elsewhere.example", True, "certificate is not accepted: IP address mismatch"),
    ],
)
async def test_broker_that_cannot_prove_itself_is_not_spoken_to(
    tmp_path: Path, names: str, own: bool, reason: str
) -> None:
    authority, stranger = Authority(tmp_path / "plant"), Authority(tmp_path / "stranger")
    trusted = authority if own else stranger
    with (
        broker(tmp_path / "broker", tls=tls(authority, names)) as made,
        pytest.raises(BrokerUnreachable, match=reason),
    ):
        await try_connecting(made.port, BrokerFiles(trusted.certificate))


@pytest.mark.asyncio
async def test_plain_text_to_a_tls_port_and_tls_to_a_plain_one_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "plant")
    with (
        broker(tmp_path / "tls", tls=tls(authority)) as made,
        pytest.raises(BrokerUnreachable, match=r"before it was accepted|no CONNACK"),
    ):
        await try_connecting(made.port, BrokerFiles(), scheme="mqtt")
    with (
        broker(tmp_path / "plain") as made,
        pytest.raises(BrokerUnreachable, match=r"TLS|reset|closed"),
    ):
        await try_connecting(made.port, BrokerFiles(authority.certificate))


@pytest.mark.asyncio
async def test_wrong_password_is_told_with_what_to_check(tmp_path: Path) -> None:
    with broker(tmp_path / "broker", users={"host": "right"}) as made:
        await try_connecting(made.port, BrokerFiles(), Secrets("host", "right"), "mqtt")
        with pytest.raises(
            BrokerRefused, match=r"check the user name and its password|access"
        ) as no:
            await try_connecting(made.port, BrokerFiles(), Secrets("host", "wrong"), "mqtt")
        assert "wrong" not in str(no.value)


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    with pytest.raises(ConfigError, match=r"PEM files .*bad.pem"):
        make_endpoints(
            ["mqtts://broker"],
            "nexus",
            NOBODY,
            protocol="3.1.1",
            files=BrokerFiles(bad),
            keep_alive_s=10,
        )
