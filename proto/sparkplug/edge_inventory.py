"""What an edge node has: its own metrics, its devices and theirs, and who is online.

Definitions are checked here, all that hosts will later rely on: ids, names, templates. Knows
nothing of connections; a device's ``born`` says whether hosts have been told of it.
"""

from collections.abc import Sequence

from proto.sparkplug.edge_events import EdgeOptions
from proto.sparkplug.edge_metrics import AliasPool, MetricTable
from proto.sparkplug.edge_templates import check_template_instance, template_definitions
from proto.sparkplug.errors import InvalidMetric, StateError, UnknownMetric
from proto.sparkplug.metrics import Metric, Template
from proto.sparkplug.topics import check_id


class EdgeDevice:
    """A device: its metrics, whether it answers, and whether hosts believe so."""

    __slots__ = ("born", "name", "online", "table")

    def __init__(self, name: str, table: MetricTable) -> None:
        self.name = name
        self.table = table
        self.online = False
        self.born = False


class EdgeInventory:
    """The node's metrics and its devices; what can be wrong is told at ``EdgeSession``."""

    def __init__(self, options: EdgeOptions) -> None:
        self.options = options
        self.devices: dict[str, EdgeDevice] = {}
        self._aliases = AliasPool()
        self.table = MetricTable(None, (), self._aliases, options)

    def set_node_metrics(self, metrics: Sequence[Metric]) -> None:
        """Define the node's own metrics."""
        table = MetricTable(None, metrics, self._aliases, self.options)
        _check_templates("node", metrics, metrics)
        self.table = table

    def set_device(self, name: str, metrics: Sequence[Metric]) -> None:
        """Define a device that is not born."""
        check_id(name, "device")
        known = self.devices.get(name)
        if known is not None and known.born:
            raise StateError(f"device {name!r} is born, expected it offline to be defined anew")
        for other in self.devices:
            if other != name and other.casefold() == name.casefold():
                raise InvalidMetric(
                    f"devices {other!r} and {name!r}, expected ids that differ in more than case"
                )
        table = MetricTable(name, metrics, self._aliases, self.options)
        of_node = [slot.birth(0, with_alias=False) for slot in self.table.by_name.values()]
        _check_templates(f"device {name!r}", metrics, of_node)
        if known is None:
            self.devices[name] = EdgeDevice(name, table)
        else:
            known.table = table

    def remove_device(self, name: str) -> None:
        """Forget a device that is not born."""
        if self.device(name).born:
            raise StateError(f"device {name!r} is born, expected it offline to be removed")
        del self.devices[name]

    def forget_births(self) -> None:
        """Hosts know of no device any more."""
        for device in self.devices.values():
            device.born = False

    def device(self, name: str) -> EdgeDevice:
        """A device by its id.

        Raises:
            UnknownMetric: there is none.
        """
        found = self.devices.get(name)
        if found is None:
            raise UnknownMetric(f"device {name!r}: expected one of {sorted(self.devices)[:8]}")
        return found

    def table_of(self, device: str | None) -> MetricTable:
        """The metrics of a device or of the node; raises as ``device``."""
        return self.table if device is None else self.device(device).table

    def alias(self, device: str | None, name: str) -> int:
        """The number of a metric."""
        slot = self.table_of(device).by_name.get(name)
        if slot is None:
            owner = "the node" if device is None else f"device {device!r}"
            raise UnknownMetric(f"metric {name!r}: {owner} has none of that name")
        return slot.alias


def _check_templates(subject: str, metrics: Sequence[Metric], of_node: Sequence[Metric]) -> None:
    known = template_definitions(of_node)
    for metric in metrics:
        if isinstance(metric.value, Template) and not metric.value.is_definition:
            check_template_instance(f"{subject} metric {metric.name!r}", metric.value, known)
