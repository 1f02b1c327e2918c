"""The devices of a node that runs: started, stopped and replaced one by one, the others untouched.

A device is the same as before when its driver is the same object, which is how a configuration that
was checked against the current one says so. Knows no files, no topics.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog
import trio

from edge_node.configuration import Configuration
from edge_node.device_state import DeviceState
from edge_node.metrics import define_metrics
from edge_node.pipeline.tags import DeviceTags
from edge_node.publisher import Publisher
from edge_node.scheduler import Lateness
from edge_node.supervisor import DeviceSupervisor
from edge_node.templates import InstancePacker, Instances, define_templates
from edge_node.uns import UnsMirror
from edge_node.uns_topics import device_path
from proto.control.devices import DeviceDocument
from proto.sparkplug.metrics import Metric

START_PACE_S: Final = 0.01
"""Devices are brought online one each 10 ms, so that births are no burst and delay no poll."""

log = structlog.get_logger(__name__)


class _Running:
    """One device's task."""

    def __init__(self, supervisor: DeviceSupervisor) -> None:
        self.supervisor = supervisor
        self.scope = trio.CancelScope()
        self.ended = trio.Event()

    async def run(self) -> None:
        try:
            with self.scope:
                await self.supervisor.run()
        finally:
            self.ended.set()


class Fleet:
    """A node's devices.

    Args:
        configuration: what there is at the start.
        publisher: where the devices are defined and their values go; has no devices yet.
        mirror: the same for the Unified Namespace.
        node_metrics: gives the node's own metrics as of now, of devices like these.
        lateness: counts how late polls begin.
        now_ms: wall clock, milliseconds since the epoch.

    Attributes:
        states: of every device, those that are disabled too.
    """

    def __init__(
        self,
        configuration: Configuration,
        publisher: Publisher,
        mirror: UnsMirror,
        *,
        node_metrics: Callable[["Fleet"], list[Metric]],
        lateness: Lateness,
        now_ms: Callable[[], int],
    ) -> None:
        self.states: dict[str, DeviceState] = {}
        self._configuration = configuration
        self._publisher = publisher
        self._mirror = mirror
        self._node_metrics = node_metrics
        self._lateness = lateness
        self._now_ms = now_ms
        self._nursery: trio.Nursery | None = None
        self._running: dict[str, _Running] = {}
        devices = configuration.document.devices
        self._tags = _tags_of(configuration)
        self._templates = self._define_templates()
        publisher.define_node(node_metrics(self) + self._templates)
        mirror.set_devices(devices, self._tags, now_ms())
        for device in devices:
            self._add(device, spread_s=len(devices) * START_PACE_S)

    @property
    def enabled(self) -> int:
        """How many devices are enabled."""
        return len(self._tags)

    @property
    def online(self) -> int:
        """How many devices answer."""
        return sum(state.state == "online" for state in self.states.values())

    @property
    def running_states(self) -> dict[str, DeviceState]:
        """The states of the enabled devices."""
        return {name: running.supervisor.state for name, running in self._running.items()}

    def find(self, device: str) -> DeviceSupervisor | None:
        """Return the supervisor of an enabled device."""
        running = self._running.get(device)
        return None if running is None else running.supervisor

    async def run(self) -> None:
        """Run the devices until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for running in self._running.values():
                nursery.start_soon(running.run)
            await trio.sleep_forever()

    def say_goodbye(self, reason: str) -> None:
        """Note that no device is polled any more."""
        now_ms = self._now_ms()
        for running in self._running.values():
            running.supervisor.state.enter("offline", now_ms, reason)
        self._mirror.send_offline(now_ms, reason)

    async def apply(self, configuration: Configuration) -> None:
        """Stop what is gone, replace what is another now, start what is new; nothing else.

        Args:
            configuration: checked against the one that runs.
        """
        before, self._configuration = self._configuration, configuration
        now, then = configuration.drivers, before.drivers
        gone = [name for name in then if now.get(name) is not then[name]]
        devices = configuration.document.devices
        come = [device for device in devices if then.get(device.name) is not now[device.name]]
        await self._stop(gone)
        self._tags = tags = _tags_of(configuration)
        templates = self._define_templates()
        if templates != self._templates:
            self._templates = templates
            self._publisher.redefine_node(self._node_metrics(self) + templates)
        self._mirror.set_devices(devices, tags, self._now_ms())
        for device in come:
            self._add(device, spread_s=(len(come) - 1) * START_PACE_S)
            await trio.lowlevel.checkpoint()
        for name in set(gone) - set(now):
            del self.states[name]
        log.info(
            "configuration_applied",
            added=sorted(set(now) - set(then)),
            changed=sorted(set(now) & set(gone)),
            removed=sorted(set(gone) - set(now)),
        )

    async def _stop(self, names: Sequence[str]) -> None:
        stopped = [self._running.pop(name) for name in names if name in self._running]
        for running in stopped:
            running.scope.cancel()
        for running in stopped:
            if self._nursery is not None:
                await running.ended.wait()
            self._publisher.remove_device(running.supervisor.name)

    def _add(self, device: DeviceDocument, spread_s: float) -> None:
        """Define a device and have it run, if it is enabled."""
        state = self.states.get(device.name)
        traffic = self._configuration.drivers[device.name].traffic
        if state is None:
            state = DeviceState("connecting", self._now_ms(), traffic=traffic)
            self.states[device.name] = state
        else:
            state.restart(self._now_ms(), "another configuration", traffic)
        if not device.enabled:
            state.enter("disabled", self._now_ms())
            return
        configuration = self._configuration
        tags = self._tags[device.name]
        uns = configuration.document.uns
        instances = self._instances.get(device.name)
        self._publisher.define_device(
            device.name,
            tags,
            define_metrics(tags, device_path(uns, device) if uns.enabled else None),
            InstancePacker(tags, instances) if instances else None,
        )
        running = _Running(
            DeviceSupervisor(
                device,
                configuration.drivers[device.name],
                tags,
                self._publisher,
                lateness=self._lateness,
                now_ms=self._now_ms,
                state=state,
                start_spread_s=spread_s,
            )
        )
        self._running[device.name] = running
        if self._nursery is not None:
            self._nursery.start_soon(running.run)

    @property
    def _instances(self) -> Instances:
        configuration = self._configuration
        published = configuration.document.sparkplug.templates == "instances"
        return configuration.instances if published else {}

    def _define_templates(self) -> list[Metric]:
        names = self._configuration.document.sparkplug.template_names
        return define_templates(self._tags, self._instances, names)


def _tags_of(configuration: Configuration) -> dict[str, DeviceTags]:
    """Return the tags of the enabled devices."""
    devices = configuration.document.devices
    return {device.name: configuration.tags[device.name] for device in devices if device.enabled}
