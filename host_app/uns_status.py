"""The Unified Namespace's ``_status`` of devices whose node was cut off.

A node that dies of a lost connection cannot say so itself, and retained values would look alive for
ever. The birth's ``unsPath`` properties tell where its devices stand.
"""

from collections.abc import Iterator

from proto.sparkplug.messages import Publish
from proto.sparkplug.metrics import UNS_PATH_PROPERTY
from proto.sparkplug.node_view import Branch, NodeView
from proto.uns.paths import check_topic, format_status_topic
from proto.uns.payload import encode_status


def find_device_path(branch: Branch) -> str | None:
    """Return where a device's tags lie, None when its birth does not tell."""
    for metric in branch.metrics.values():
        told = metric.properties.get(UNS_PATH_PROPERTY)
        if told is None or not isinstance(told.value, str):
            continue
        path = told.value.removesuffix(f"/{metric.name}")
        if path == told.value:
            continue
        try:
            check_topic(path)
        except ValueError:
            continue  # foreign: not a path that anything was published on
        return path
    return None


def offline_statuses(view: NodeView, reason: str) -> Iterator[Publish]:
    """Give the ``_status`` messages for the devices that died with their node.

    Devices that were offline before have been told of by the node itself, with a better reason.
    """
    for branch in (view, *view.devices.values()):
        if branch.since_ms != view.since_ms:
            continue
        path = find_device_path(branch)
        if path is not None:
            status = encode_status(online=False, since_ms=view.since_ms, reason=reason)
            yield Publish(format_status_topic(path), status, qos=1, retain=True)
