"""How a process reaches its MQTT broker."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from proto.control.document import Document

_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


class BrokerDocument(Document):
    """The ``[mqtt]`` section: one broker and how to sign in to it."""

    url: str = "mqtt://127.0.0.1:1883"
    """``mqtt://host[:port]``, or ``mqtts://`` for TLS. Credentials do not belong here."""

    client_id: str | None = None
    """MQTT client id; derived from the role and its ids when absent."""

    username: str | None = None
    """User to sign in as; ``NEXUS_MQTT_USERNAME`` where it is left out."""

    password_env: str | None = None
    """Name of the environment variable that holds the password."""

    password_file: Path | None = None
    """File whose first line is the password."""

    ca_file: Path | None = None
    """PEM bundle that the broker's certificate must chain to; the system's when absent."""

    cert_file: Path | None = None
    """PEM certificate that is shown to the broker, with ``key_file``."""
    key_file: Path | None = None
    """PEM key of ``cert_file``, unencrypted."""

    protocol: Literal["3.1.1", "5"] = "3.1.1"
    """Version of MQTT."""

    keep_alive_s: int = Field(default=30, ge=5, le=3600)
    """Silence after which the other side is asked whether it is there; a broker publishes the will
    after one and a half times this."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        return check_broker_url(url)

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if self.password_env and self.password_file:
            raise ValueError("password_env and password_file are both set, expected one of them")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together, found only one of them")
        return self

    @property
    def host(self) -> str:
        """The broker's host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The broker's TCP port."""
        parts = urlsplit(self.url)
        return parts.port or _DEFAULT_PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"


class BrokerListDocument(BrokerDocument):
    """The ``[mqtt]`` section of a client that can do with one of several brokers."""

    servers: tuple[str, ...] = ()
    """Further brokers, in the order they are tried after ``url``; sign-in and certificates are the
    same for all."""

    @field_validator("servers")
    @classmethod
    def _check_servers(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_broker_url(url) for url in servers)

    def each(self) -> list[BrokerDocument]:
        """Return one document a broker, ``url`` first."""
        common = self.model_dump(exclude={"servers", "url"})
        return [BrokerDocument(url=url, **common) for url in (self.url, *self.servers)]


def check_broker_url(url: str) -> str:
    """Return a broker's address as it is.

    Raises:
        ValueError: it is none, or says more than a host and a port.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(
            f"{url!r} is not a broker address, expected mqtt://host[:port] or mqtts://"
        )
    if parts.username or parts.password:
        raise ValueError(
            "credentials in the address can be read by everyone, "
            "expected username and password_file"
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{url!r} has more than a host and a port, expected mqtt://host[:port]")
    if parts.port == 0:
        raise ValueError("port 0 cannot be connected to, expected 1 to 65535")
    return url
