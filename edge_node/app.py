"""The wiring of one edge node: what is made of the configuration, who is told what, the end."""

import time
from typing import Final

import structlog
import trio

from edge_node.bd_seq import BdSeqFile
from edge_node.config import Configuration
from edge_node.counters import Counters
from edge_node.device_state import DeviceState
from edge_node.metrics import define_metrics
from edge_node.mqtt_socket import Endpoint
from edge_node.node_link import NodeLink
from edge_node.pipeline.tags import DeviceTags
from edge_node.publisher import Publisher
from edge_node.supervisor import DeviceSupervisor
from edge_node.uns import UnsMirror
from edge_node.uns_topics import device_path
from edge_node.version import find_version
from proto.control.status import NodeStatus
from proto.control.topics import node_status_topic
from proto.sparkplug.edge_events import EdgeOptions, WriteRequested
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.topics import NodeId

START_PACE_S: Final = 0.01
"""Devices are brought online one each 10 ms, so that births are no burst and delay no poll."""

log = structlog.get_logger(__name__)


def now_ms() -> int:
    """Return the wall clock in milliseconds since the epoch, floored (specification 6.4.1)."""
    return time.time_ns() // 1_000_000


class EdgeNode:
    """One edge node, made from a checked configuration.

    Args:
        configuration: with its drivers.
        endpoint: the broker.
        bd_seq: the node's state.

    Raises:
        StateUnavailable: the state cannot be read.
    """

    def __init__(self, configuration: Configuration, endpoint: Endpoint, bd_seq: BdSeqFile) -> None:
        document = configuration.document
        self._document = document
        self._id = NodeId(document.node.group, document.node.edge)
        self._status_topic = node_status_topic(document.node.topic_prefix, self._id)
        self._started_ms = now_ms()
        self._version = find_version()
        self._counters = Counters()
        options = EdgeOptions(
            aliases=document.sparkplug.aliases, primary_host=document.sparkplug.primary_host
        )
        session = EdgeSession(self._id, bd_seq=bd_seq.read(), options=options)
        tags = {
            device.name: DeviceTags(device.tags, configuration.drivers[device.name].groups)
            for device in document.devices
            if device.enabled
        }
        self._mirror = UnsMirror(document, tags, started_ms=self._started_ms)
        self._publisher = Publisher(
            session,
            self._mirror,
            self._counters,
            window_s=document.sparkplug.batch_window_s,
            now_ms=now_ms,
        )
        self._disabled = {
            device.name: DeviceState("disabled", self._started_ms)
            for device in document.devices
            if not device.enabled
        }
        self._supervisors: dict[str, DeviceSupervisor] = {}
        for device in document.devices:
            if device.enabled:
                path = device_path(document.uns, device) if document.uns.enabled else None
                self._publisher.define_device(
                    device.name, tags[device.name], define_metrics(tags[device.name], path)
                )
                self._supervisors[device.name] = DeviceSupervisor(
                    device,
                    configuration.drivers[device.name],
                    tags[device.name],
                    self._publisher,
                    lateness=self._counters.lateness,
                    start_spread_s=len(document.devices) * START_PACE_S,
                    now_ms=now_ms,
                )
        self._link = NodeLink(
            endpoint,
            self._publisher,
            self._mirror,
            bd_seq=bd_seq,
            next_bd_seq=lambda: session.next_bd_seq,
            counters=self._counters,
            on_write=self._write,
            on_connected=self._publish_status,
        )

    async def run(self, stop: trio.Event) -> None:
        """Run until told to stop, then end cleanly: deaths, last status, DISCONNECT.

        Args:
            stop: set by whoever wants the end.
        """
        log.info("edge_started", node=str(self._id), devices=len(self._supervisors))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._publisher.run)
            nursery.start_soon(self._mirror.run, lambda: self._link.is_congested)
            nursery.start_soon(self._report_status)
            nursery.start_soon(self._link.run)
            async with trio.open_nursery() as devices:
                for supervisor in self._supervisors.values():
                    devices.start_soon(supervisor.run)
                await stop.wait()
                devices.cancel_scope.cancel()
            await self._link.say_goodbye(self._last_words)
            nursery.cancel_scope.cancel()
        log.info("edge_stopped", points_published=self._counters.points_published)

    async def _report_status(self) -> None:
        while True:
            await trio.sleep(self._document.node.status_interval_s)
            self._publish_status()
            self._counters.lateness.begin_window()

    def _last_words(self) -> None:
        reason = "edge node stopped"
        for supervisor in self._supervisors.values():
            supervisor.state.enter("offline", now_ms(), reason)
        self._mirror.send_offline(now_ms(), reason)
        self._publish_status()

    def _write(self, request: WriteRequested) -> None:
        if request.device is not None:
            self._supervisors[request.device].write(request.metric, request.value)

    def status(self) -> NodeStatus:
        """Return the node's status document as of now."""
        self._counters.uns_messages = self._mirror.messages
        states = {name: s.state for name, s in self._supervisors.items()} | self._disabled
        return NodeStatus(
            timestamp_ms=now_ms(),
            version=self._version,
            started_ms=self._started_ms,
            counters=self._counters.document(),
            devices={name: state.document() for name, state in states.items()},
        )

    def _publish_status(self) -> None:
        payload = self.status().model_dump_json().encode()
        self._link.publish(self._status_topic, payload, 1, True)
