"""A device of any driver: the union that a node's configuration lists."""

from typing import Annotated

from pydantic import Field

from proto.control.modbus import ModbusDevice
from proto.control.opcua import OpcUaDevice
from proto.control.s7 import S7Device

DeviceDocument = Annotated[
    ModbusDevice | OpcUaDevice | S7Device,
    Field(discriminator="driver", description="A device, by its driver"),
]
