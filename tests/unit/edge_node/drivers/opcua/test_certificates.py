from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_node.drivers.base import DeviceUnreachable
from edge_node.drivers.opcua.certificates import (
    RENEW_BEFORE,
    VALID,
    application_uri,
    own_identity,
    thumbprint,
    utc_now,
)
from proto.control.opcua import OpcUaConnection


def make(directory: Path) -> tuple[Path, Path]:
    own_identity(OpcUaConnection(url="opc.tcp://plc", pki_dir=directory), utc_now())
    return directory / "own/client.der", directory / "own/client.pem"


def test_an_own_certificate_is_made_once_and_made_anew_before_it_ends(tmp_path: Path) -> None:
    settings = OpcUaConnection(url="opc.tcp://plc", pki_dir=tmp_path)
    now = utc_now()
    first = own_identity(settings, now)
    assert application_uri(first.certificate) == settings.application_uri
    later = own_identity(settings, now + VALID - RENEW_BEFORE - timedelta(days=1))
    assert later.certificate == first.certificate
    with capture_logs() as logs:
        renewed = own_identity(settings, now + VALID - RENEW_BEFORE + timedelta(days=2))
    assert renewed.certificate != first.certificate
    assert renewed.certificate.public_key() == first.certificate.public_key()
    (told,) = logs
    assert (told["event"], told["made"]) == ("opcua_client_certificate", "renewed")
    assert told["sha1"] == thumbprint(renewed.certificate)
    assert (tmp_path / "own/client.pem").stat().st_mode & 0o077 == 0


def test_an_own_certificate_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    cert_file, key_file = make(tmp_path / "a")
    _, other_key = make(tmp_path / "b")
    told: list[tuple[Callable[[], Path], str]] = [
        (lambda: other_key, "is not the key of"),
        (lambda: tmp_path / "none.pem", "none.pem cannot be used"),
        (lambda: cert_file, "expected an unencrypted PEM key"),
    ]
    for key, reason in told:
        settings = OpcUaConnection(url="opc.tcp://plc", cert_file=cert_file, key_file=key())
        with pytest.raises(DeviceUnreachable, match=reason):
            own_identity(settings, utc_now())
    assert key_file.exists()
