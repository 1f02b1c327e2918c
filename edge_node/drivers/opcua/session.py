"""An open session: requests in batches that the server takes, what it says of itself, its pulse.

asyncio. Knows node ids and values; nothing of tags and subscriptions.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from asyncua import Client, ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from edge_node.drivers.base import DeviceUnreachable, NoAnswer, NotUnderstood, OpcQuality, Reason
from edge_node.drivers.opcua.facts import ABOUT, ServerFacts
from edge_node.drivers.opcua.nodes import (
    ROOT,
    Address,
    BrowsePath,
    NodeName,
    UnknownNamespace,
    find_index,
)
from edge_node.drivers.opcua.reasons import TOO_LARGE_CODES, explain_node, explain_server
from edge_node.drivers.opcua.wire import Sample, WireError, decode_values
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaConnection

_FATAL: Final = frozenset(
    {
        ua.StatusCodes.BadSessionIdInvalid,
        ua.StatusCodes.BadSessionClosed,
        ua.StatusCodes.BadSessionNotActivated,
        ua.StatusCodes.BadSecureChannelIdInvalid,
        ua.StatusCodes.BadSecureChannelClosed,
        ua.StatusCodes.BadConnectionClosed,
        ua.StatusCodes.BadServerHalted,
        ua.StatusCodes.BadShutdown,
        ua.StatusCodes.BadCommunicationError,
    }
)
"""After these nothing else will be answered on this session."""

_STATE: Final = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)
_TICK_S: Final = 0.5
_RENEW_AT: Final = 0.75
"""Part of a security token's life after which it is renewed (OPC 10000-4 5.5.2.1)."""

log = structlog.get_logger(__name__)


class ServiceRefused(Exception):
    """The server answered a request as a whole with a bad status.

    Attributes:
        code: the status.
    """

    def __init__(self, code: int) -> None:
        super().__init__(explain_server(code))
        self.code = code


class Session:
    """A session that stands.

    Args:
        client: connected and signed in.
        settings: how.
        traffic: counts requests, bytes, refusals and how long answers take.
        facts: what is known of the server, by all who share the session; nothing yet if left out.
    """

    def __init__(
        self,
        client: Client,
        settings: OpcUaConnection,
        traffic: Traffic,
        facts: ServerFacts | None = None,
    ) -> None:
        self.client = client
        self.settings = settings
        self.facts = facts or ServerFacts()
        self.traffic = traffic
        self._where = settings.url

    def of(self, settings: OpcUaConnection, traffic: Traffic) -> "Session":
        """Return the same session for another of its users."""
        return Session(self.client, settings, traffic, self.facts)

    # Requests.

    async def ask_raw(self, request: Any, timeout_s: float | None = None) -> Buffer:
        """Send a request and return the answer, undecoded; 0 for a timeout is for ever.

        Raises:
            ServiceRefused: the server refused it as a whole.
            DeviceUnreachable: no answer, or the session is gone.
        """
        protocol = self.client.uaclient.protocol
        if protocol is None:
            raise self._lost(DeviceUnreachable(f"{self._where} closed the connection"))
        timeout = self.settings.timeout_s if timeout_s is None else timeout_s
        sent_at = time.monotonic()
        self.client.payer = self.traffic  # what is sent is written before anything is waited for
        try:
            answer: Buffer = await protocol.send_request(request, timeout)
        except UaStatusCodeError as exc:
            self.facts.heard_at = time.monotonic()
            self.traffic.errors["refused"] += 1
            if exc.code in _FATAL:
                failure = DeviceUnreachable(f"{self._where}: {explain_server(exc.code)}")
                raise self._lost(failure) from exc
            raise ServiceRefused(exc.code) from exc
        except TimeoutError as exc:
            name = type(request).__name__.removesuffix("Request")
            raise NoAnswer(f"{self._where} did not answer {name} within {timeout:g} s") from exc
        except (OSError, UaError) as exc:
            failure = DeviceUnreachable(f"{self._where}: {exc or 'connection closed'}")
            raise self._lost(failure) from exc
        self.facts.heard_at = time.monotonic()
        if timeout:
            self.client.claim(self.traffic)
            self.traffic.requests += 1
            self.traffic.latency.add(self.facts.heard_at - sent_at)
        return answer

    def _lost(self, failure: DeviceUnreachable) -> DeviceUnreachable:
        """Note, for all who share the session, that nothing else will be answered on it."""
        self.facts.failure = self.facts.failure or failure
        return failure

    async def ask(self, request: Any, answer_type: type) -> Any:
        """Send a request and return the answer as one of the library's objects. Raises the same."""
        data = await self.ask_raw(request)
        try:
            answer = struct_from_binary(answer_type, data)
        except Exception as exc:  # the library raises whatever its parts do
            raise NotUnderstood(
                f"{self._where}: an answer is no {answer_type.__name__}: {exc}"
            ) from exc
        return answer

    # What the server is.

    async def look_around(self) -> None:
        """Learn the namespaces and what the server can take. Raises as ``ask_raw``."""
        node_ids = [ua.NodeId(number) for number in ABOUT.values()]
        told = dict(zip(ABOUT, await self.read_values(node_ids), strict=True))
        if not isinstance(told["namespaces"].value, list):
            raise DeviceUnreachable(
                f"{self._where} has no namespaces: {explain_node(told['namespaces'].status)}"
            )
        self.facts.learn({name: sample.value for name, sample in told.items()}, self.settings)
        log.info("opcua_server", url=self._where, **self.facts.summary)

    async def refresh_namespaces(self) -> None:
        """Read the namespaces again: servers that load a project while they run get new ones.

        Raises as ``read_values``.
        """
        (told,) = await self.read_values([ua.NodeId(ABOUT["namespaces"])])
        if isinstance(told.value, list) and told.value != self.facts.namespaces:
            log.info("opcua_namespaces_changed", url=self._where, namespaces=len(told.value))
            self.facts.namespaces = told.value

    def limit(self, service: str) -> int:
        """Return how many nodes a request of a service may have."""
        return self.facts.limit(service)

    def learn_limit(self, service: str, too_many: int) -> None:
        """Note that a request was too large; the next has half."""
        limit = self.facts.limits[service] = max(1, too_many // 2)
        log.info("opcua_batch_reduced", url=self._where, service=service, limit=limit)

    # Nodes.

    async def resolve(self, addresses: Sequence[Address]) -> list[ua.NodeId | str]:
        """Return the server's node id of each address, or why there is none. Raises as ``ask``."""
        found: list[ua.NodeId | str] = [""] * len(addresses)
        paths: list[tuple[int, Any]] = []
        for index, address in enumerate(addresses):
            try:
                if isinstance(address, NodeName):
                    namespace = find_index(address.namespace, self.facts.namespaces)
                    found[index] = ua.NodeId(address.identifier, namespace)
                else:
                    paths.append((index, self._wire_path(address)))
            except UnknownNamespace as exc:
                found[index] = Reason(str(exc.args[0]), OpcQuality.CONFIG_ERROR)
        waiting = paths
        while waiting:
            size = self.limit("translate")
            batch, waiting = waiting[:size], waiting[size:]
            request = ua.TranslateBrowsePathsToNodeIdsRequest()
            request.Parameters.BrowsePaths = [path for _, path in batch]
            try:
                answer = await self.ask(request, ua.TranslateBrowsePathsToNodeIdsResponse)
            except ServiceRefused as exc:
                if exc.code in TOO_LARGE_CODES and len(batch) > 1:
                    self.learn_limit("translate", len(batch))
                    waiting = batch + waiting
                    continue
                for index, _ in batch:
                    found[index] = str(exc)
                continue
            for (index, _), result in zip(batch, answer.Results, strict=True):
                if result.StatusCode.is_good() and result.Targets:
                    target = result.Targets[0].TargetId
                    found[index] = ua.NodeId(target.Identifier, target.NamespaceIndex)
                else:
                    found[index] = explain_node(result.StatusCode.value)
        return found

    def _wire_path(self, address: BrowsePath) -> Any:
        elements = [
            ua.RelativePathElement(
                ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
                IsInverse=False,
                IncludeSubtypes=True,
                TargetName=ua.QualifiedName(name, find_index(namespace, self.facts.namespaces)),
            )
            for namespace, name in address.steps
        ]
        return ua.BrowsePath(ua.NodeId(ROOT), ua.RelativePath(elements))

    async def read_values(
        self, node_ids: Sequence[ua.NodeId], attribute: int = ua.AttributeIds.Value
    ) -> list[Sample]:
        """Read one attribute of many nodes; each answer has its own status.

        Raises:
            ServiceRefused: the server refuses to read at all.
            DeviceUnreachable: no answer, or the session is gone.
        """
        samples: list[Sample] = []
        while len(samples) < len(node_ids):
            size = self.limit("read")
            batch = node_ids[len(samples) : len(samples) + size]
            try:
                samples += await self._read_batch(batch, attribute)
            except ServiceRefused as exc:
                if exc.code not in TOO_LARGE_CODES or len(batch) == 1:
                    raise
                self.learn_limit("read", len(batch))
        return samples

    async def _read_batch(self, batch: Sequence[ua.NodeId], attribute: int) -> list[Sample]:
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [
            ua.ReadValueId(NodeId=node_id, AttributeId=attribute) for node_id in batch
        ]
        body = open_answer(await self.ask_raw(request))
        try:
            samples, _ = decode_values(body, 0)
        except WireError as exc:
            raise NotUnderstood(f"{self._where}: {exc}") from exc
        if len(samples) != len(batch):
            raise NotUnderstood(
                f"{self._where} answered {len(samples)} values to a read of {len(batch)} nodes"
            )
        return samples

    # The pulse.

    async def watch(self) -> None:
        """Return only by raising: when the server has gone silent, whatever it was asked.

        Raises:
            DeviceUnreachable: it does not answer, and nothing else comes from it either.
        """
        patience_s = self.settings.watchdog_s
        while True:
            await asyncio.sleep(min(_TICK_S, patience_s / 4))
            asked_at = time.monotonic()
            if asked_at - self.facts.heard_at < patience_s:
                continue
            try:
                await self.read_values([_STATE])
            except ServiceRefused:
                continue  # it is there
            except DeviceUnreachable:
                # A server that is too busy to answer and still sends data is there.
                if self.client.uaclient.protocol is None or self.facts.heard_at < asked_at:
                    raise

    async def keep_channel(self) -> None:
        """Renew the secure channel's token in time, for as long as the session stands.

        Raises:
            DeviceUnreachable: the server refuses.
        """
        while True:
            await asyncio.sleep(_RENEW_AT * self.client.secure_channel_timeout / 1000)
            try:
                await self.client.open_secure_channel(renew=True)
                self.client.uaclient.revolve_security_token()
            except (OSError, UaError) as exc:
                raise DeviceUnreachable(
                    f"{self._where}: the secure channel was not renewed: {exc}"
                ) from exc


def open_answer(answer: Buffer) -> bytes:
    """Return what follows an answer's header.

    Raises:
        ServiceRefused: the header tells a bad status.
    """
    nodeid_from_binary(answer)
    header = struct_from_binary(ua.ResponseHeader, answer)
    if not header.ServiceResult.is_good():
        raise ServiceRefused(header.ServiceResult.value)
    return bytes(answer)
