"""Publish responses (OPC 10000-4 5.14.5), read straight from the bytes. Pure."""

import struct
from dataclasses import dataclass, field
from typing import Final

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary
from asyncua.ua.uaerrors import UaError

from edge_node.drivers.opcua.session import open_answer
from edge_node.drivers.opcua.wire import Sample, WireError, decode_changes

_DATA_CHANGE: Final = ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary
_STATUS_CHANGE: Final = ua.ObjectIds.StatusChangeNotification_Encoding_DefaultBinary

_U32: Final = struct.Struct("<I").unpack_from
_I32: Final = struct.Struct("<i").unpack_from


@dataclass(slots=True)
class Notification:
    """One publish response.

    Attributes:
        changes: client handle and sample each, in the order told.
        ended: the status that ended the subscription, 0 while it goes on.
        has_data: whether it must be acknowledged; a keep-alive must not.
    """

    subscription: int
    sequence: int
    changes: list[tuple[int, Sample]] = field(default_factory=list)
    ended: int = 0
    has_data: bool = False


def parse_publish(answer: Buffer) -> Notification:
    """Read a publish response.

    Raises:
        ServiceRefused: it tells a bad status.
        WireError: the bytes are no such response.
    """
    data = open_answer(answer)
    try:
        subscription, available = _U32(data, 0)[0], _I32(data, 4)[0]
        at = 8 + 4 * max(0, available) + 1  # and whether more notifications wait
        notification = Notification(subscription, _U32(data, at)[0])
        count = _I32(data, at + 12)[0]  # after the time of publishing
        at += 16
        for _ in range(max(0, count)):
            notification.has_data = True
            at = _parse_part(data, at, notification)
    except (struct.error, IndexError, UaError) as exc:
        raise WireError(f"a publish response cannot be decoded: {exc}") from exc
    return notification


def _parse_part(data: bytes, at: int, notification: Notification) -> int:
    buffer = Buffer(data, at)
    type_id = nodeid_from_binary(buffer)
    at = buffer.cur_pos
    has_body = data[at]
    at += 1
    if not has_body:
        return at
    size: int = _I32(data, at)[0]
    at += 4
    if type_id.NamespaceIndex == 0 and type_id.Identifier == _DATA_CHANGE:
        notification.changes += decode_changes(data, at)[0]
    elif type_id.NamespaceIndex == 0 and type_id.Identifier == _STATUS_CHANGE:
        notification.ended = _U32(data, at)[0]
    return at + max(0, size)
