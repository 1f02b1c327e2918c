"""A TLS connection as a wire: Modbus/TCP Security. Knows nothing of frames."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trio

from edge_node.drivers.tcp import RECEIVE_SIZE, has_input, open_stream


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files.

    Attributes:
        ca: what the server's certificate must chain to; the system's when absent.
        cert: shown to the server, with its key.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def make_context(self) -> ssl.SSLContext:
        """Load the files; raises ``OSError`` naming the one that cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as exc:
            raise OSError(exc.errno, f"ca_file {self.ca}: {exc.strerror}") from exc
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except OSError as exc:
                raise OSError(exc.errno, f"cert_file {self.cert}: {exc.strerror}") from exc
        return context


class TlsWire:
    """A TLS connection."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        await self._stream.send_all(data)

    async def receive_some(self) -> bytes:
        """Wait for bytes."""
        return bytes(await self._stream.receive_some(RECEIVE_SIZE))

    def has_input(self) -> bool:
        """Whether bytes are there."""
        return has_input(self._stream.transport_stream.socket.fileno())

    def close(self) -> None:
        """Close without waiting, and so without TLS's own goodbye."""
        self._stream.transport_stream.socket.close()


async def connect_tls(host: str, port: int, files: TlsFiles) -> TlsWire:
    """Connect and check the server's certificate; raises ``OSError`` with the reason."""
    context = files.make_context()
    transport = await open_stream(host, port)
    stream = trio.SSLStream(transport, context, server_hostname=host, https_compatible=True)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as exc:
        transport.socket.close()
        cause = exc.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise OSError(None, f"its certificate is refused: {cause.verify_message}") from exc
        raise OSError(None, f"the TLS handshake failed: {cause or exc}") from exc
    except BaseException:
        transport.socket.close()
        raise
    return TlsWire(stream)
