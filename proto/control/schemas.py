"""Every document of the suite by its name, and its JSON Schema."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from proto.control.acknowledgement import Acknowledgement
from proto.control.command import Command, CommandResult
from proto.control.device import Device
from proto.control.devices import DeviceDocument
from proto.control.modbus import ModbusDevice
from proto.control.node import NodeDocument
from proto.control.opcua import OpcUaDevice
from proto.control.remote import DeviceConfiguration
from proto.control.s7 import S7Device
from proto.control.status import HistorianStatus, NodeStatus

DEVICES: Final[Mapping[str, type[Device]]] = {
    "modbus": ModbusDevice,
    "opcua": OpcUaDevice,
    "s7": S7Device,
}
"""Driver → its device's document."""

DOCUMENTS: Final[Mapping[str, Any]] = {
    "node": NodeDocument,
    "device": DeviceDocument,
    **{f"{driver}-device": document for driver, document in DEVICES.items()},
    "device-configuration": DeviceConfiguration,
    "command": Command,
    "command-result": CommandResult,
    "node-status": NodeStatus,
    "historian-status": HistorianStatus,
    "acknowledgement": Acknowledgement,
}
"""Each document, or the union of what it may be."""


def make_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a document.

    Raises:
        KeyError: there is none of that name.
    """
    schema: dict[str, Any] = TypeAdapter(DOCUMENTS[name]).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
