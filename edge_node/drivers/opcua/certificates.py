"""Certificates: the client's own, made and renewed, and those of the servers it trusts.

Everything lies in one directory, as the OPC Foundation's products have it: ``own/``, ``trusted/``,
``rejected/``. Files only; knows nothing of connections.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from pathlib import Path
from typing import Final, Literal

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_node.drivers.base import CannotConnect
from proto.control.opcua import OpcUaConnection

VALID: Final = timedelta(days=5 * 365)
RENEW_BEFORE: Final = timedelta(days=30)
"""How long before its end an own certificate is made anew."""
_KEY_BITS: Final = 2048
"""What every security policy takes; the older ones take no more."""
_LONGEST_URI: Final = 64

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key, and the file that it lies in."""

    certificate: x509.Certificate
    key: RSAPrivateKey
    file: Path

    @property
    def fingerprint(self) -> str:
        """The thumbprint as servers list it."""
        return thumbprint(self.certificate)


def thumbprint(certificate: x509.Certificate) -> str:
    """Return a certificate's SHA-1 thumbprint, which OPC UA names certificates by."""
    return sha1(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()  # noqa: S324  # a name


def fingerprint(certificate: x509.Certificate) -> str:
    """Return a certificate's SHA-256 fingerprint."""
    return sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def load_identity(cert_file: Path, key_file: Path) -> Identity:
    """Read a certificate and its key.

    Raises:
        CannotConnect: one of them cannot be used; which, and why.
    """
    try:
        certificate = read_certificate(cert_file)
    except (OSError, ValueError) as exc:
        raise CannotConnect(
            f"{cert_file} cannot be used: {exc}, expected a PEM or DER certificate"
        ) from exc
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as exc:
        raise CannotConnect(
            f"{key_file} cannot be used: {exc}, expected an unencrypted PEM key"
        ) from exc
    if not isinstance(key, RSAPrivateKey):
        raise CannotConnect(f"{key_file}: found no RSA key, expected one")
    if key.public_key() != certificate.public_key():
        raise CannotConnect(f"{key_file} is not the key of {cert_file}")
    return Identity(certificate, key, cert_file)


def own_identity(settings: OpcUaConnection, now: datetime) -> Identity:
    """Return the client's certificate, made or renewed where it is not configured.

    Args:
        settings: for the files and the application URI.
        now: the current time, UTC.

    Raises:
        CannotConnect: a file cannot be used or written.
    """
    if settings.cert_file is not None and settings.key_file is not None:
        return load_identity(settings.cert_file, settings.key_file)
    own = settings.pki_dir / "own"
    cert_file, key_file = own / "client.der", own / "client.pem"
    try:
        own.mkdir(parents=True, exist_ok=True)
        if not key_file.exists():
            _write_key(key_file)
        if not cert_file.exists():
            return _make(settings, key_file, cert_file, now, "made")
        identity = load_identity(cert_file, key_file)
        if identity.certificate.not_valid_after_utc - now < RENEW_BEFORE:
            return _make(settings, key_file, cert_file, now, "renewed")
        if application_uri(identity.certificate) != settings.application_uri:
            return _make(settings, key_file, cert_file, now, "made for another application_uri")
    except OSError as exc:
        raise CannotConnect(f"{own} cannot be written: {exc.strerror or exc}") from exc
    return identity


def application_uri(certificate: x509.Certificate) -> str | None:
    """Return the application URI in a certificate (OPC 10000-6 6.2.2), ``None`` without one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return None
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if uris else None


def read_certificate(file: Path) -> x509.Certificate:
    """Read a PEM or DER certificate.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no certificate.
    """
    data = file.read_bytes()
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(data)
    return x509.load_der_x509_certificate(data)


class TrustList:
    """The servers' certificates that are trusted, in files.

    Args:
        directory: with ``trusted/`` and ``rejected/``.
        rule: what is trusted.
    """

    def __init__(self, directory: Path, rule: Literal["first-use", "list", "any"]) -> None:
        self._trusted = directory / "trusted"
        self._rejected = directory / "rejected"
        self._rule = rule

    def check(self, server: str, certificate: x509.Certificate, now: datetime) -> None:
        """Let a server's certificate pass, or not.

        Args:
            server: host and port, as a file's name.
            certificate: what the server shows.
            now: the current time, UTC.

        Raises:
            CannotConnect: it is not trusted; with both fingerprints and what to do.
        """
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            log.warning(
                "opcua_server_certificate_out_of_date",
                server=server,
                valid_from=certificate.not_valid_before_utc.isoformat(),
                valid_to=certificate.not_valid_after_utc.isoformat(),
            )
        if self._rule == "any":
            return
        pin = self._trusted / f"{server}.der"
        try:
            if self._rule == "first-use" and pin.exists():
                self._check_pin(pin, certificate)
            elif any(_vouches(trusted, certificate) for trusted in self._read_trusted()):
                return
            elif self._rule == "first-use":
                self._pin(pin, certificate)
            else:
                self._reject(server, certificate)
        except OSError as exc:
            raise CannotConnect(f"{self._trusted} cannot be used: {exc}") from exc

    def _check_pin(self, pin: Path, certificate: x509.Certificate) -> None:
        pinned = read_certificate(pin)
        if pinned == certificate:
            return
        kept = _save(self._rejected, pin.name, certificate)
        raise CannotConnect(
            f"the server shows another certificate than before: SHA-256"
            f" {fingerprint(certificate)}, expected {fingerprint(pinned)}; if that is right,"
            f" replace {pin} by {kept}"
        )

    def _read_trusted(self) -> Iterator[x509.Certificate]:
        for file in sorted(self._trusted.glob("*")) if self._trusted.is_dir() else ():
            try:
                yield read_certificate(file)
            except ValueError:
                log.warning("opcua_trusted_file_unreadable", file=str(file))

    def _pin(self, pin: Path, certificate: x509.Certificate) -> None:
        _save(self._trusted, pin.name, certificate)
        log.warning(
            "opcua_server_trusted_on_first_use",
            file=str(pin),
            subject=certificate.subject.rfc4514_string(),
            sha256=fingerprint(certificate),
            sha1=thumbprint(certificate),
        )

    def _reject(self, server: str, certificate: x509.Certificate) -> None:
        kept = _save(self._rejected, f"{server}.der", certificate)
        raise CannotConnect(
            f"the server's certificate is not trusted: SHA-256 {fingerprint(certificate)},"
            f" subject {certificate.subject.rfc4514_string()}; to trust it, move {kept} to"
            f" {self._trusted}"
        )


def _vouches(trusted: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether a trusted certificate is the one shown, or that of the authority that issued it."""
    if trusted == certificate:
        return True
    try:
        constraints = trusted.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca:
            return False
        certificate.verify_directly_issued_by(trusted)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return True


def _save(directory: Path, name: str, certificate: x509.Certificate) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / name
    file.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    return file


def _write_key(file: Path) -> None:
    key = generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    data = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def _make(
    settings: OpcUaConnection, key_file: Path, cert_file: Path, now: datetime, what: str
) -> Identity:
    """Make a self-signed certificate as OPC 10000-6 6.2.2 wants it, and keep it."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise CannotConnect(f"{key_file}: found no RSA key, expected one")
    host = socket.gethostname()
    common_name = settings.session_name[:_LONGEST_URI]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_cert_sign=True,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    names = [x509.UniformResourceIdentifier(settings.application_uri), x509.DNSName(host)]
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the server's clock may be behind
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    partial = cert_file.with_suffix(".new")
    partial.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    partial.replace(cert_file)
    log.warning(
        "opcua_client_certificate",
        made=what,
        file=str(cert_file),
        sha1=thumbprint(certificate),
        sha256=fingerprint(certificate),
        valid_to=certificate.not_valid_after_utc.isoformat(),
        advice="trust it in the servers that want to know their clients",
    )
    return Identity(certificate, key, cert_file)


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)
