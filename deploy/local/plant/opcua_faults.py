"""What a simulated OPC UA server does wrong on demand: on the wire, to its nodes, in time.

Answers are kept back before they are encoded, so that sequence numbers stay whole and a client sees
a server that is silent, not one that breaks the protocol; ``garbage`` is there for that.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from asyncua import ua
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_to_binary

from deploy.local.plant.faults import Fault, parse_fault

_STATUS: Final = (ua.StatusCodes.BadInternalError, 0, 2**32 - 1)
"""Status codes as numbers: default, lowest and highest."""

WIRE: Final[Mapping[str, tuple[float, float, float]]] = {
    "delay": (0.5, 0, 3600),
    "drop": (1.0, 0, 1),
    "exception": _STATUS,
    "garbage": (1.0, 0, 1),
    "disconnect": (1.0, 0, 1),
    "slow": (0.05, 0, 60),
}
"""What connections do, all alike: default, lowest and highest seconds, share of answers or code."""

TIMES: Final[Mapping[str, tuple[float, float, float]]] = {
    "recreate": (10, 1, 86_400),
    "restart": (30, 5, 86_400),
    "reindex": (30, 5, 86_400),
}
"""What happens every so many seconds: default, lowest and highest."""

_ABOUT_NODES: Final = (
    ua.ReadResponse,
    ua.WriteResponse,
    ua.BrowseResponse,
    ua.BrowseNextResponse,
    ua.TranslateBrowsePathsToNodeIdsResponse,
    ua.CreateMonitoredItemsResponse,
    ua.CallResponse,
)
"""Answers that ``exception`` takes the place of; sessions and subscriptions stay."""

EXPECTED: Final = (
    "delay=SECONDS, drop=SHARE, exception=NAME, garbage=SHARE, disconnect=SHARE, slow=SECONDS a"
    " byte, [DEVICE:]status=NAME, [DEVICE:]recreate=SECONDS, restart=SECONDS or reindex=SECONDS"
)
_OF_A_DEVICE: Final = frozenset({"status", "recreate"})


def parse_opcua_fault(text: str) -> Fault:
    """Read ``delay=0.2``, ``2:status=BadDeviceFailure``, ``restart``.

    Returns:
        The fault; the value of ``status`` and ``exception`` is the status code's number.

    Raises:
        ValueError: what was found and what was expected.
    """
    kind, equals, value = text.rpartition(":")[2].partition("=")
    if kind == "status" or (kind == "exception" and equals):
        code = getattr(ua.StatusCodes, value, None)
        good_for = ("Bad", "Uncertain") if kind == "status" else ("Bad",)
        if not isinstance(code, int) or not value.startswith(good_for):
            examples = "BadDeviceFailure"
            examples += " or UncertainLastUsableValue" if kind == "status" else ""
            raise ValueError(
                f"fault {text!r}: {value!r} is no status code, expected one such as {examples}"
            )
        text = text.removesuffix(value) + str(code)
    fault = parse_fault(text, {**WIRE, **TIMES, "status": _STATUS}, EXPECTED)
    if fault.device is not None and kind not in _OF_A_DEVICE:
        raise ValueError(
            f"fault {text!r}: {kind} concerns the whole server, expected it without a device"
        )
    return fault


@dataclass(slots=True)
class WireFaults:
    """What every connection does with its answers.

    Attributes:
        faults: of the kinds of ``WIRE``.
        chance: decides about shares.
    """

    faults: Sequence[Fault]
    chance: Random

    def happens(self, kind: str) -> bool:
        """Tell whether a fault that has a share happens to this answer."""
        return any(f.kind == kind and self.chance.random() < f.value for f in self.faults)

    def refusal(self) -> int | None:
        """Return the status code that requests about nodes are refused with, if they are."""
        return next((int(f.value) for f in self.faults if f.kind == "exception"), None)

    def seconds(self, kind: str) -> float:
        """Return the seconds of a fault that has some."""
        return sum(f.value for f in self.faults if f.kind == kind)


class FaultyProcessor(UaProcessor):  # type: ignore[misc]  # the library is not typed
    """Answers a client's requests, but for the faults; answers keep their order."""

    def __init__(self, faults: WireFaults, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._faults = faults
        self._answers: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._sender = asyncio.create_task(self._send())

    def send_response(
        self, requesthandle: int, seqhdr: Any, response: Any, msgtype: Any = None
    ) -> None:
        """Queue one answer; a secure channel is always opened as it should."""
        if msgtype == ua.MessageType.SecureOpen:
            super().send_response(requesthandle, seqhdr, response, msgtype)
        else:
            self._answers.put_nowait((requesthandle, seqhdr, response))

    async def close(self) -> None:
        """End with the connection."""
        self._sender.cancel()
        await super().close()

    async def _send(self) -> None:
        while True:
            handle, header, response = await self._answers.get()
            await asyncio.sleep(self._faults.seconds("delay"))
            if self._faults.happens("disconnect"):
                self._transport.close()
                return
            if self._faults.happens("drop"):
                continue
            code = self._faults.refusal()
            if code is not None and isinstance(response, _ABOUT_NODES):
                response = ua.ServiceFault()
                response.ResponseHeader.ServiceResult = ua.StatusCode(code)
            response.ResponseHeader.RequestHandle = handle
            data = self._connection.message_to_binary(
                struct_to_binary(response),
                message_type=ua.MessageType.SecureMessage,
                request_id=header.RequestId,
            )
            if self._faults.happens("garbage"):
                data = self._faults.chance.randbytes(len(data))
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        apart_s = self._faults.seconds("slow")
        if not apart_s:
            self._transport.write(data)
            return
        for at in range(len(data)):
            self._transport.write(data[at : at + 1])
            await asyncio.sleep(apart_s)


class _FaultyProtocol(OPCUAProtocol):  # type: ignore[misc]  # the library is not typed
    def __init__(self, faults: WireFaults, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._faults = faults
        self.processor: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.processor is not None:
            self.processor = FaultyProcessor(self._faults, self.iserver, transport, self.limits)
            self.processor.set_policies(self.policies)


class FaultyBinaryServer(BinaryServer):  # type: ignore[misc]  # the library is not typed
    """Makes connections that have the faults."""

    def __init__(self, faults: WireFaults, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._faults = faults

    def _make_protocol(self) -> OPCUAProtocol:
        return _FaultyProtocol(
            self._faults,
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )
