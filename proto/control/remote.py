"""A device's configuration as it comes over MQTT."""

from pydantic import Field

from proto.control.devices import DeviceDocument
from proto.control.document import Document


class DeviceConfiguration(Document):
    """``<prefix>/config/devices/<group>/<edge>/<device>``, retained: all of a device.

    An empty message removes the device as well, but only a node that is connected hears it.
    """

    revision: int = Field(ge=0)
    """Counted by whoever configures; the node's status tells which one it has."""
    device: DeviceDocument | None
    """As in the node's file; null where there is to be no such device."""
