"""Certificates, trust and sign-in, against a real server."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from asyncua import Client, ua
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from structlog.testing import capture_logs

from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.opcua import connection
from edge_node.drivers.opcua.certificates import (
    fingerprint,
    own_identity,
    read_certificate,
    thumbprint,
    utc_now,
)
from proto.control.opcua import OpcUaConnection
from tests.integration.opcua_rig import PATIENCE_S, OpcUaServer, make_driver

pytestmark = pytest.mark.trio

TEMP = {"name": "temp", "datatype": "double"}
POLL = [{"name": "default", "mode": "poll"}]
P = ua.SecurityPolicyType
ALL = [
    P.NoSecurity,
    P.Basic256Sha256_Sign,
    P.Basic256Sha256_SignAndEncrypt,
    P.Aes128Sha256RsaOaep_Sign,
    P.Aes128Sha256RsaOaep_SignAndEncrypt,
    P.Aes256Sha256RsaPss_Sign,
    P.Aes256Sha256RsaPss_SignAndEncrypt,
    P.Basic256_Sign,
    P.Basic256_SignAndEncrypt,
    P.Basic128Rsa15_Sign,
    P.Basic128Rsa15_SignAndEncrypt,
]


def make_pki(directory: Path, uri: str = "urn:plant:server") -> tuple[Path, Path]:
    """Make a certificate and its key; return their files."""
    settings = OpcUaConnection(url="opc.tcp://plc", pki_dir=directory, application_uri=uri)
    own_identity(settings, utc_now())
    return directory / "own/client.der", directory / "own/client.pem"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpcUaServer]:
    """A server with every policy; only ``operator`` with ``secret`` or a certificate signs in."""
    pki = make_pki(tmp_path_factory.mktemp("server"))
    one = OpcUaServer(policies=ALL, pki=pki, passwords=True).start()
    yield one
    one.stop()


@pytest.fixture
def user(tmp_path: Path) -> dict[str, Any]:
    """Settings of a user who may sign in, with certificates of his own."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    return {
        "username": "operator",
        "password_file": password,
        "pki_dir": tmp_path / "pki",
    }


SECURE = {"security_policy": "Basic256Sha256", "security_mode": "SignAndEncrypt"}


async def read(server: OpcUaServer, **settings: Any) -> list[Any]:
    driver = make_driver(server.url, TEMP, poll_groups=POLL, connection=settings)
    try:
        await driver.open()
        return (await driver.read("default")).values
    finally:
        await driver.aclose()


async def refusal(server: OpcUaServer, **settings: Any) -> str:
    with pytest.raises(DeviceUnreachable) as refused:
        await read(server, **settings)
    return str(refused.value)


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize(
    "policy",
    ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss", "Basic256", "Basic128Rsa15"],
)
async def test_every_policy_signs_and_encrypts(
    server: OpcUaServer, user: dict[str, Any], policy: str, mode: str
) -> None:
    settings = {"security_policy": policy, "security_mode": mode}
    assert await read(server, **user, **settings) == [20.5]


async def test_a_secure_channel_is_renewed_before_its_token_ends(
    server: OpcUaServer, user: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CHANNEL_LIFETIME_S", 1.0)
    settings = {**user, **SECURE}
    driver = make_driver(server.url, TEMP, connection=settings)
    renewals = 0

    async def open_channel(self: Client, renew: bool = False) -> None:
        nonlocal renewals
        await original(self, renew)
        renewals += renew

    original = Client.open_secure_channel
    monkeypatch.setattr(Client, "open_secure_channel", open_channel)
    try:
        await driver.open()
        await driver.read("default")
        value = 30.0
        with trio.fail_after(PATIENCE_S):
            while renewals < 3:
                value += 1
                await trio.to_thread.run_sync(server.write, "temp", value)
                while not any(value in changes.values for changes in await driver.wait_changes()):
                    pass
        assert (await driver.read("default")).values == [value]
    finally:
        await driver.aclose()
        server.write("temp", 20.5)


async def test_a_user_signs_in_by_password_without_security_too(
    server: OpcUaServer, user: dict[str, Any]
) -> None:
    assert await read(server, **user) == [20.5]


async def test_a_user_signs_in_by_certificate(
    server: OpcUaServer, user: dict[str, Any], tmp_path: Path
) -> None:
    cert_file, key_file = make_pki(tmp_path / "user", "urn:operator")
    settings = {"user_cert_file": cert_file, "user_key_file": key_file, **SECURE}
    assert await read(server, pki_dir=user["pki_dir"], **settings) == [20.5]


async def test_a_wrong_password_is_told_as_one(server: OpcUaServer, user: dict[str, Any]) -> None:
    user["password_file"].write_text("guess\n")
    assert "the server does not accept the user: wrong name or password" in await refusal(
        server, **user, **SECURE
    )


async def test_nobody_is_refused_where_a_user_is_wanted(
    server: OpcUaServer, tmp_path: Path
) -> None:
    reason = await refusal(server, pki_dir=tmp_path, **SECURE)
    assert "the server does not accept the user" in reason or "no sign-in by anonymous" in reason


async def test_a_password_that_is_not_there_is_told(server: OpcUaServer) -> None:
    settings = {"username": "operator", "password_env": "NEXUS_TEST_NO_SUCH_VARIABLE"}
    assert "variable 'NEXUS_TEST_NO_SUCH_VARIABLE' is not set" in await refusal(server, **settings)


async def test_a_policy_that_is_not_offered_is_told_with_those_that_are(tmp_path: Path) -> None:
    one = OpcUaServer(policies=[P.NoSecurity]).start()
    try:
        reason = await refusal(one, pki_dir=tmp_path, **SECURE)
    finally:
        one.stop()
    assert (
        "does not offer security_policy 'Basic256Sha256' with security_mode 'SignAndEncrypt',"
        " it offers None None" in reason
    )


async def test_the_first_certificate_of_a_server_is_kept_and_another_one_refused(
    tmp_path: Path, user: dict[str, Any]
) -> None:
    first, second = make_pki(tmp_path / "first"), make_pki(tmp_path / "second")
    one = OpcUaServer(policies=ALL, pki=first).start()
    settings = {"pki_dir": user["pki_dir"], **SECURE}
    with capture_logs() as logs:
        assert await read(one, **settings) == [20.5]
    told = next(log for log in logs if log["event"] == "opcua_server_trusted_on_first_use")
    assert told["sha256"] == fingerprint(read_certificate(first[0]))
    pin = user["pki_dir"] / "trusted" / f"127.0.0.1_{one.port}.der"
    assert read_certificate(pin) == read_certificate(first[0])
    one.stop()

    other = OpcUaServer(policies=ALL, pki=second, port=one.port).start()
    try:
        reason = await refusal(other, **settings)
        assert f"SHA-256 {fingerprint(read_certificate(second[0]))}, expected" in reason
        assert str(pin) in reason
        kept = user["pki_dir"] / "rejected" / pin.name
        kept.replace(pin)
        assert await read(other, **settings) == [20.5]
    finally:
        other.stop()


async def test_with_a_trust_list_a_server_must_be_on_it(
    server: OpcUaServer, user: dict[str, Any]
) -> None:
    settings = {**user, **SECURE, "trust": "list"}
    reason = await refusal(server, **settings)
    assert "the server's certificate is not trusted: SHA-256" in reason
    (kept,) = (user["pki_dir"] / "rejected").glob("*.der")
    assert str(kept) in reason
    trusted = user["pki_dir"] / "trusted"
    trusted.mkdir()
    kept.replace(trusted / "press.der")
    assert await read(server, **settings) == [20.5]


async def test_a_server_that_does_not_trust_us_is_told_with_our_thumbprint_and_file(
    tmp_path: Path, user: dict[str, Any]
) -> None:
    pki = make_pki(tmp_path / "server")

    async def trust_nobody(server: Any) -> None:
        store = TrustStore([tmp_path / "nobody"], [])
        await store.load()
        server.set_certificate_validator(
            CertificateValidator(
                CertificateValidatorOptions.TRUSTED_VALIDATION
                | CertificateValidatorOptions.PEER_CLIENT,
                store,
            )
        )

    (tmp_path / "nobody").mkdir()
    shutil.copy(pki[0], tmp_path / "nobody")  # the library takes no empty list
    one = OpcUaServer(policies=ALL, pki=pki)
    one.prepare = trust_nobody
    one.start()
    try:
        reason = await refusal(one, pki_dir=user["pki_dir"], **SECURE)
    finally:
        one.stop()
    own = user["pki_dir"] / "own/client.der"
    assert f"thumbprint {thumbprint(read_certificate(own))} there, it is {own} here" in reason
