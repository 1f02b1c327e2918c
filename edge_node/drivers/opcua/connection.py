"""How a connection to a server is made: endpoint, security, channel, session, sign-in.

asyncio. Says in plain words which step failed and what can be done. Knows nothing of tags.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import structlog
from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import x509_from_der

from edge_node.drivers.base import CannotConnect, Trace
from edge_node.drivers.opcua.certificates import (
    Identity,
    TrustList,
    load_identity,
    own_identity,
    utc_now,
)
from edge_node.drivers.opcua.reasons import CERTIFICATE_CODES, describe_status, explain_server
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaConnection, SecurityPolicyName

_T = TypeVar("_T")

POLICIES: Final[Mapping[SecurityPolicyName, type[security_policies.SecurityPolicy]]] = {
    "None": security_policies.SecurityPolicyNone,
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
    "Basic256": security_policies.SecurityPolicyBasic256,
    "Basic128Rsa15": security_policies.SecurityPolicyBasic128Rsa15,
}
_MODES: Final = {
    "None": ua.MessageSecurityMode.None_,
    "Sign": ua.MessageSecurityMode.Sign,
    "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt,
}
_TOKENS: Final = {
    ua.UserTokenType.Anonymous: "anonymous",
    ua.UserTokenType.UserName: "user and password",
    ua.UserTokenType.Certificate: "certificate",
    ua.UserTokenType.IssuedToken: "token",
}
CHANNEL_LIFETIME_S = 3600.0
"""How long a security token may serve before it is renewed."""
_GOODBYE_S: Final = 1.0
DEFAULT_PORT: Final = 4840

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves who we are.

    Attributes:
        own: the client application's certificate, ``None`` without security.
        password: of the configured user.
        user: the user's certificate.
    """

    own: Identity | None = None
    password: str | None = None
    user: Identity | None = None


def load_credentials(
    settings: OpcUaConnection, environment: Mapping[str, str] = os.environ
) -> Credentials:
    """Read, and where need be make, what the connection needs; takes a while the first time.

    Raises:
        CannotConnect: something cannot be read or made.
    """
    own = None if settings.security_policy == "None" else own_identity(settings, utc_now())
    user = None
    if settings.user_cert_file is not None and settings.user_key_file is not None:
        user = load_identity(settings.user_cert_file, settings.user_key_file)
    return Credentials(own, _read_password(settings, environment), user)


def _read_password(settings: OpcUaConnection, environment: Mapping[str, str]) -> str | None:
    if settings.password_env is not None:
        password = environment.get(settings.password_env)
        if password is None:
            raise CannotConnect(f"password_env: variable {settings.password_env!r} is not set")
        return password
    if settings.password_file is not None:
        return _first_line(settings.password_file)
    return None


def _first_line(file: Path) -> str:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise CannotConnect(f"password_file: {file} cannot be read: {exc}") from exc
    if not lines or not lines[0]:
        raise CannotConnect(f"password_file: {file} is empty, expected the password")
    return lines[0]


class _CountedClient(Client):  # type: ignore[misc]  # an untyped library
    """The library's client, with its bytes counted and shown.

    Attributes:
        payer: counts what is sent, whoever's request it is.
    """

    def __init__(self, url: str, timeout: float, traffic: Traffic, trace: Trace | None) -> None:
        super().__init__(url, timeout=timeout)
        self.payer = traffic
        self._received = 0
        self._trace = trace

    def claim(self, traffic: Traffic) -> None:
        """Count what was received since the last claim for whom its answer was."""
        traffic.bytes_received += self._received
        self._received = 0

    async def connect_socket(self) -> None:
        """Connect, and listen in on both directions."""
        await super().connect_socket()
        protocol = self.uaclient.protocol
        receive, send = protocol.data_received, protocol.transport.write
        trace = self._trace

        def received(data: bytes) -> None:
            self._received += len(data)
            if trace is not None:
                trace("received", bytes(data))
            receive(data)

        def sent(data: bytes) -> None:
            self.payer.bytes_sent += len(data)
            if trace is not None:
                trace("sent", bytes(data))
            send(data)

        protocol.data_received, protocol.transport.write = received, sent


async def connect(
    settings: OpcUaConnection,
    credentials: Credentials,
    traffic: Traffic,
    trace: Trace | None = None,
) -> Client:
    """Connect, open a secure channel, create and activate a session.

    Args:
        settings: how.
        credentials: what proves who we are.
        traffic: counts the bytes.
        trace: is told the bytes.

    Raises:
        CannotConnect: which step failed, why, and what can be done about it.
    """
    # The library logs what it raises as well; it is told here, once, in plain words.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
    return await _Connector(settings, credentials, traffic, trace).connect()


async def disconnect(client: Client) -> None:
    """Close the session and the connection; never raises, waits a second at most."""
    with suppress(Exception):
        await asyncio.wait_for(client.uaclient.close_session(True), _GOODBYE_S)
    with suppress(Exception):
        await client.close_secure_channel()
    with suppress(Exception):
        client.disconnect_socket()


class _Connector:
    def __init__(
        self,
        settings: OpcUaConnection,
        credentials: Credentials,
        traffic: Traffic,
        trace: Trace | None,
    ) -> None:
        self._settings = settings
        self._traffic = traffic
        self._trace = trace
        self._credentials = credentials
        self._where = settings.url

    async def connect(self) -> Client:
        client = self._make_client()
        endpoint = self._choose(await self._ask_endpoints(client))
        self._secure(client, endpoint)
        try:
            await self._open(client)
        except BaseException:
            await disconnect(client)
            raise
        finally:
            client.claim(self._traffic)
        return client

    def _make_client(self) -> _CountedClient:
        settings = self._settings
        url = settings.url
        if urlsplit(url).port is None:
            parts = urlsplit(url)
            url = parts._replace(netloc=f"{parts.netloc}:{DEFAULT_PORT}").geturl()
        client = _CountedClient(url, settings.timeout_s, self._traffic, self._trace)
        client.uaclient.pre_request_hook = None
        client.application_uri = settings.application_uri
        client.product_uri = "urn:nexus-edge"
        client.name = client.description = settings.session_name
        client.secure_channel_timeout = int(1000 * CHANNEL_LIFETIME_S)
        client.session_timeout = int(1000 * settings.session_timeout_s)
        return client

    async def _ask_endpoints(self, client: Client) -> list[ua.EndpointDescription]:
        endpoints: list[Any] = await self._step(
            "tell its endpoints", client.connect_and_get_server_endpoints()
        )
        if not endpoints:
            raise CannotConnect(
                f"{self._where} has no endpoint of this URL: the path behind host and port may be"
                " wrong"
            )
        return endpoints

    def _choose(self, endpoints: list[ua.EndpointDescription]) -> ua.EndpointDescription:
        """Return the endpoint with the security and the sign-in that are wanted."""
        settings = self._settings
        policy = POLICIES[settings.security_policy].URI
        mode = _MODES[settings.mode]
        offered = [e for e in endpoints if (e.EndpointUrl or "").startswith("opc.tcp://")]
        found = next(
            (e for e in offered if e.SecurityPolicyUri == policy and e.SecurityMode == mode), None
        )
        if found is None:
            raise CannotConnect(
                f"{self._where} does not offer security_policy {settings.security_policy!r} with"
                f" security_mode {settings.mode!r}, it offers {_list_offers(offered)}"
            )
        self._check_sign_in(found)
        self._compare_hosts(found)
        return found

    def _check_sign_in(self, endpoint: ua.EndpointDescription) -> None:
        wanted = self._token_type()
        tokens = {token.TokenType for token in endpoint.UserIdentityTokens or ()}
        if tokens and wanted not in tokens:
            names = ", ".join(_TOKENS.get(token, str(token)) for token in sorted(tokens))
            raise CannotConnect(
                f"{self._where} takes no sign-in by {_TOKENS[wanted]} here, it takes {names}"
            )

    def _token_type(self) -> ua.UserTokenType:
        if self._settings.username is not None:
            return ua.UserTokenType.UserName
        if self._credentials.user is not None:
            return ua.UserTokenType.Certificate
        return ua.UserTokenType.Anonymous

    def _compare_hosts(self, endpoint: ua.EndpointDescription) -> None:
        told, used = urlsplit(endpoint.EndpointUrl).hostname, urlsplit(self._where).hostname
        if told != used:
            log.debug("opcua_endpoint_has_another_host", url=self._where, told=told)

    def _secure(self, client: Client, endpoint: ua.EndpointDescription) -> None:
        settings, credentials = self._settings, self._credentials
        if settings.username is not None:
            client.set_user(settings.username)
            client.set_password(credentials.password or "")
        if credentials.user is not None:
            client.user_certificate = credentials.user.certificate
            client.user_private_key = credentials.user.key
        if credentials.own is None:
            return
        try:
            certificate = x509_from_der(endpoint.ServerCertificate)
        except ValueError as exc:
            raise CannotConnect(f"{self._where} shows no usable certificate: {exc}") from exc
        if certificate is None:
            raise CannotConnect(f"{self._where} shows no certificate")
        trust = TrustList(settings.pki_dir, settings.trust)
        url = client.server_url
        try:
            trust.check(f"{url.hostname}_{url.port}", certificate, utc_now())
        except CannotConnect as exc:
            raise CannotConnect(f"{self._where}: {exc}") from exc
        policy = POLICIES[settings.security_policy](
            certificate, credentials.own.certificate, credentials.own.key, _MODES[settings.mode]
        )
        client.security_policy = policy
        client.uaclient.set_security(policy)

    async def _open(self, client: Client) -> None:
        await self._step("take the connection", client.connect_socket())
        await self._step("say hello", client.send_hello())
        await self._step("open a secure channel", client.open_secure_channel(), certificate=True)
        await self._step("create a session", client.create_session(), certificate=True)
        sign_in = client.activate_session(
            self._settings.username, self._credentials.password, client.user_certificate
        )
        await self._step("activate the session", sign_in)

    async def _step(self, what: str, step: Awaitable[_T], *, certificate: bool = False) -> _T:
        try:
            return await step
        except TimeoutError as exc:
            raise CannotConnect(
                f"{self._where} did not {what} within {self._settings.timeout_s:g} s"
            ) from exc
        except ua.UaStatusCodeError as exc:
            raise CannotConnect(f"{self._where}: {self._explain(exc.code, what)}") from exc
        except OSError as exc:
            reason = _name_failure(exc)
            if certificate and self._credentials.own is not None:
                reason = f"{reason}; {self._certificate_advice()}"
            what = "cannot be reached" if exc.errno is not None else f"did not {what}"
            raise CannotConnect(f"{self._where} {what}: {reason}") from exc
        except (ua.UaError, ValueError) as exc:
            raise CannotConnect(f"{self._where} did not {what}: {exc}") from exc

    def _explain(self, code: int, what: str) -> str:
        if code in CERTIFICATE_CODES and self._credentials.own is not None:
            return f"did not {what}: {describe_status(code)}; {self._certificate_advice()}"
        return f"did not {what}: {explain_server(code)}"

    def _certificate_advice(self) -> str:
        own = self._credentials.own
        assert own is not None  # noqa: S101  # asked only with security
        return (
            "the server may not trust this client's certificate yet: trust the one with thumbprint"
            f" {own.fingerprint} there, it is {own.file} here"
        )


def _list_offers(endpoints: list[ua.EndpointDescription]) -> str:
    offers = {
        f"{(e.SecurityPolicyUri or '').rpartition('#')[2].replace('_', '')}"
        f" {ua.MessageSecurityMode(e.SecurityMode).name.rstrip('_')}"
        for e in endpoints
    }
    return ", ".join(sorted(offers)) or "nothing over opc.tcp"


def _name_failure(exc: OSError) -> str:
    """Return the system's words for it; asyncio puts the address in their place."""
    if exc.errno is not None and not isinstance(exc, socket.gaierror):
        return os.strerror(exc.errno)
    return exc.strerror or str(exc) or "the connection was closed"
