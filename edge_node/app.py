"""The wiring of one edge node: what is made of the configuration, who is told what, the end."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import structlog
import trio

from edge_node.bd_seq import BdSeqFile
from edge_node.commands import Commands
from edge_node.configuration import Configuration
from edge_node.counters import Counters
from edge_node.exposition import format_devices, format_node
from edge_node.fleet import Fleet
from edge_node.metrics import DEVICE_REBIRTH
from edge_node.mqtt_link import Message
from edge_node.mqtt_socket import Endpoint
from edge_node.node_info import NEXT_SERVER, REBOOT, NodeFacts, NodeInfo, define_node_metrics
from edge_node.node_link import NodeLink
from edge_node.probes import Probes
from edge_node.publisher import Publisher, PublisherOptions
from edge_node.reload import ConfigurationFile, Reloader
from edge_node.remote_devices import RemoteDevices
from edge_node.remote_store import RemoteStore
from edge_node.supervisor import DeviceSupervisor
from edge_node.uns import UnsMirror
from edge_node.uns_leftovers import Leftovers
from edge_node.version import find_version
from proto.control.status import DeviceStatus, NodeStatus
from proto.control.topics import configuration_filter, node_status_topic, parse_configuration_topic
from proto.sparkplug.compression import Compression
from proto.sparkplug.edge_events import EdgeOptions, Rejected, WriteRequested
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.metrics import Metric
from proto.sparkplug.topics import NodeId

_CONTROLS: Final = frozenset({REBOOT, NEXT_SERVER, DEVICE_REBIRTH})
_COMPRESSIONS: Final = {
    "none": None,
    "deflate": Compression.DEFLATE,
    "gzip": Compression.GZIP,
}

_DEVICES_AT_ONCE: Final = 25
"""Devices are described so many at a time: half a millisecond in which nothing is polled."""

log = structlog.get_logger(__name__)


def now_ms() -> int:
    """Return the wall clock in milliseconds since the epoch, floored (specification 6.4.1)."""
    return time.time_ns() // 1_000_000


class EdgeNode:
    """One edge node, made from a checked configuration.

    Args:
        configuration: with its drivers.
        endpoints: the brokers, in the order they are tried.
        bd_seq: the node's state.
        file: where the configuration was read, to be read again.

    Attributes:
        reboot_requested: whether a host asked for the end, to have the process started again.
        probes: what those who watch the process see.

    Raises:
        StateUnavailable: the state cannot be read.
    """

    def __init__(
        self,
        configuration: Configuration,
        endpoints: Sequence[Endpoint],
        bd_seq: BdSeqFile,
        file: ConfigurationFile | None = None,
    ) -> None:
        document = configuration.document
        self._id = NodeId(document.node.group, document.node.edge)
        self._status_topic = node_status_topic(document.node.topic_prefix, self._id)
        self.reboot_requested = False
        self._stop = trio.Event()
        self._started_ms = now_ms()
        self._version = find_version()
        self._counters = Counters()
        sparkplug = document.sparkplug
        options = EdgeOptions(
            aliases=sparkplug.aliases,
            primary_host=sparkplug.primary_host,
            uint32_as_long=sparkplug.uint32_as_long,
        )
        session = EdgeSession(self._id, bd_seq=bd_seq.read(), options=options)
        self._mirror = UnsMirror(document, {}, started_ms=self._started_ms)
        self._publisher = Publisher(
            session,
            self._mirror,
            self._counters,
            options=PublisherOptions(
                sparkplug.batch_window_s,
                sparkplug.max_payload_bytes,
                _COMPRESSIONS[sparkplug.compression],
            ),
            now_ms=now_ms,
        )
        self.probes = Probes(self._format_metrics, self._explain_unready)
        remote = None
        if document.remote.configuration:
            store = RemoteStore(document.node.state_dir, self._id)
            remote = RemoteDevices(document.remote, store)
        self._reloader = Reloader(
            configuration,
            file,
            remote,
            apply=self._apply,
            on_change=self._publish_status,
            now_ms=now_ms,
        )
        self._document = self._reloader.configuration.document
        self._commands = Commands(
            document.node.topic_prefix,
            self._id,
            enabled=document.remote.commands,
            find=self._find,
            publish=self._publish,
            now_ms=now_ms,
        )
        self._link = NodeLink(
            endpoints,
            self._publisher,
            self._mirror,
            bd_seq=bd_seq,
            counters=self._counters,
            on_write=self._write,
            on_rejected=self._reject,
            filters=self._filters(),
            on_message=self._receive,
            on_connected=self._publish_status,
            leftovers=Leftovers(document),
        )
        self._fleet = Fleet(
            self._reloader.configuration,
            self._publisher,
            self._mirror,
            node_metrics=self._node_metrics,
            lateness=self._counters.lateness,
            now_ms=now_ms,
        )
        self._info = NodeInfo(partial(session.alias, None))

    def stop(self) -> None:
        """Have :meth:`run` end."""
        self._stop.set()

    def reload(self) -> None:
        """Have the configuration file read again."""
        self._reloader.reload_file()

    async def run(self) -> None:
        """Run until told to stop, then end cleanly: deaths, last status, DISCONNECT."""
        log.info("edge_started", node=str(self._id), devices=self._fleet.enabled)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._publisher.run)
            nursery.start_soon(self._mirror.run, lambda: self._link.queued_bytes > 0)
            nursery.start_soon(self._report_status)
            if (port := self._document.metrics.port) is not None:
                nursery.start_soon(self.probes.run, self._document.metrics.bind, port)
            nursery.start_soon(self._link.run, self._document.sparkplug.start_delay_s)
            async with trio.open_nursery() as devices:
                devices.start_soon(self._fleet.run)
                devices.start_soon(self._reloader.run)
                await self._stop.wait()
                devices.cancel_scope.cancel()
            await self._link.say_goodbye(self._last_words)
            nursery.cancel_scope.cancel()
        log.info("edge_stopped", points_published=self._counters.points_published)

    async def _report_status(self) -> None:
        while True:
            await trio.sleep(self._document.node.status_interval_s)
            await self._publish_status_gently()
            self._counters.lateness.begin_window()
            self._publisher.node_report(self._info.changes(self._facts(self._fleet), now_ms()))

    def _last_words(self) -> None:
        self._fleet.say_goodbye("edge node stopped")
        self._publish_status()

    def _write(self, request: WriteRequested) -> None:
        """Do what a host asks for; a control metric is a request when it is written true."""
        if request.metric in _CONTROLS:
            log.warning("control_requested", device=request.device, metric=request.metric)
            if request.value is not True:
                return
        if request.metric == REBOOT:
            self.reboot_requested = True
            self._stop.set()
        elif request.metric == NEXT_SERVER:
            self._link.go_to_next_server()
        elif request.device is None:
            log.warning("write_refused", metric=request.metric, reason="the node has no outputs")
        elif request.metric == DEVICE_REBIRTH:
            self._publisher.rebirth_device(request.device)
        else:
            self._commands.write(request)

    async def _apply(self, configuration: Configuration) -> None:
        await self._fleet.apply(configuration)

    def _find(self, device: str) -> DeviceSupervisor | None:
        return self._fleet.find(device)

    def _publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self._link.publish(topic, payload, qos, retain)

    def _reject(self, event: Rejected) -> None:
        self._commands.reject(event)

    def _filters(self) -> list[str]:
        filters = list(self._commands.filters)
        if self._document.remote.configuration:
            filters.append(configuration_filter(self._document.node.topic_prefix, self._id))
        return filters

    def _receive(self, message: Message) -> None:
        prefix = self._document.node.topic_prefix
        device = parse_configuration_topic(message.topic, prefix, self._id)
        if device is not None:
            self._reloader.receive(device, message.payload)
            return
        self._commands.receive(message.topic, message.payload, retained=message.retained)

    def _node_metrics(self, fleet: Fleet) -> list[Metric]:
        sparkplug = self._document.sparkplug
        return define_node_metrics(
            version=self._version,
            facts=self._facts(fleet),
            reboot=sparkplug.allow_reboot,
            next_server=sparkplug.allow_next_server,
        )

    def _facts(self, fleet: Fleet) -> NodeFacts:
        return NodeFacts(
            uptime_s=(now_ms() - self._started_ms) // 1000,
            devices=fleet.enabled,
            devices_up=fleet.online,
            unsent_points=self._counters.points_unsent,
            buffered_bytes=self._link.queued_bytes,
        )

    def _explain_unready(self) -> str | None:
        if not self._link.is_connected:
            return "no broker is connected"
        return "the primary host is not there" if self._publisher.is_waiting else None

    def _format_metrics(self) -> Iterator[str]:
        self._counters.uns_messages = self._mirror.messages
        yield format_node(
            self._counters,
            connected=self._link.is_connected,
            queued_bytes=self._link.queued_bytes,
        )
        yield from format_devices(self._fleet.running_states)

    def status(self) -> NodeStatus:
        """Return the node's status document as of now."""
        return self._status({name: s.document() for name, s in self._fleet.states.items()})

    def _status(self, devices: dict[str, DeviceStatus]) -> NodeStatus:
        self._counters.uns_messages = self._mirror.messages
        return NodeStatus(
            timestamp_ms=now_ms(),
            version=self._version,
            started_ms=self._started_ms,
            configuration=self._reloader.status(),
            counters=self._counters.document(),
            refused_writes=tuple(self._commands.refused),
            devices=self._reloader.describe(devices),
        )

    def _publish_status(self) -> None:
        self._send_status(self.status())

    async def _publish_status_gently(self) -> None:
        """Publish the status without a pause that would show as late polls."""
        devices: dict[str, DeviceStatus] = {}
        for name, state in list(self._fleet.states.items()):
            devices[name] = state.document()
            if len(devices) % _DEVICES_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        self._send_status(self._status(devices))

    def _send_status(self, status: NodeStatus) -> None:
        self._link.publish(self._status_topic, status.model_dump_json().encode(), 1, True)
