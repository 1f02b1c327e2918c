"""Devices that are configured over MQTT: the documents read, what they may have, what is kept.

Knows no connection: messages are handed in.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from pydantic import Field, ValidationError

from edge_node.configuration import Configuration
from edge_node.desired import Desired, Refusal, RemoteDevice
from edge_node.errors import StateUnavailable
from edge_node.local_access import find_trespasses
from edge_node.remote_store import RemoteStore
from proto.control.document import Document
from proto.control.node import RemoteDocument

MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
MAX_REFUSALS: Final = 100
"""So many devices that are not there are told as refused; more are logged only."""

log = structlog.get_logger(__name__)


class _Envelope(Document):
    """``DeviceConfiguration`` with the device still unchecked, since templates come first."""

    revision: int = Field(ge=0)
    device: dict[str, Any] | None


class RemoteDevices:
    """The documents of one node.

    Args:
        settings: what is allowed.
        store: where accepted devices are kept.
    """

    def __init__(self, settings: RemoteDocument, store: RemoteStore) -> None:
        self._settings = settings
        self._store = store

    def start(self, desired: Desired) -> Desired:
        """Return what the devices that were kept make of a node's file.

        Raises:
            StateUnavailable: they cannot be read.
        """
        kept = self._store.read()
        if not kept:
            return desired
        started = desired.with_documents(kept, self.judge)
        _tell(kept, started)
        return started

    def judge(self, alone: Configuration) -> Sequence[str]:
        """Return what a document asks for that it may not have, given its device alone."""
        return [
            mistake
            for device in alone.document.devices
            for mistake in find_trespasses(
                device, f"devices[{device.name}]", self._settings.allowed_paths
            )
        ]

    def settle(self, desired: Desired, news: Mapping[str, bytes]) -> Desired:
        """Return what messages make of it; takes its time where something is another now.

        Args:
            desired: as it is.
            news: the latest message of each device.
        """
        documents: dict[str, RemoteDevice | None] = {}
        for name, payload in news.items():
            try:
                document = _parse(payload)
                self._check_room(name, desired, documents)
            except ValueError as exc:
                desired = _refuse(desired, name, Refusal((f"devices[{name}]: {exc}",)))
                continue
            if name in desired.refusals or document != desired.documents.get(name):
                documents[name] = document
        if not documents:
            return desired
        settled = desired.with_documents(documents, self.judge)
        _tell(documents, settled)
        self._keep(documents, settled)
        return settled

    def _check_room(
        self, name: str, desired: Desired, documents: Mapping[str, RemoteDevice | None]
    ) -> None:
        known = {each for each, one in documents.items() if one is not None}
        most = self._settings.max_devices
        if name not in desired.documents and len(known.union(desired.documents)) >= most:
            raise ValueError(f"{most} devices are configured remotely, no more are taken")

    def _keep(self, documents: Mapping[str, RemoteDevice | None], settled: Desired) -> None:
        for name, document in documents.items():
            try:
                if document is None:
                    self._store.remove(name)
                elif settled.documents.get(name) is document:
                    self._store.write(name, document)
            except StateUnavailable as exc:
                # It runs all the same; after a restart the broker tells it again.
                log.exception("device_not_kept", device=name, reason=str(exc))


def _parse(payload: bytes) -> RemoteDevice | None:
    """Return what a message says, ``None`` to remove the device.

    Raises:
        ValueError: it is none.
    """
    if not payload:
        return None
    if len(payload) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"{len(payload)} bytes, expected at most {MAX_DOCUMENT_BYTES}")
    try:
        envelope = _Envelope.model_validate_json(payload)
    except ValidationError as exc:
        raise ValueError("; ".join(_explain(exc))) from exc
    return None if envelope.device is None else RemoteDevice(envelope.revision, envelope.device)


def _explain(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        yield f"{'.'.join(map(str, detail['loc'])) or 'document'}: {detail['msg']}"


def _refuse(desired: Desired, name: str, refusal: Refusal) -> Desired:
    _log_refusal(name, refusal)
    if name not in desired.documents and len(desired.refusals) >= MAX_REFUSALS:
        return desired
    return desired.refuse(name, refusal)


def _tell(documents: Mapping[str, RemoteDevice | None], settled: Desired) -> None:
    for name, document in documents.items():
        if (refusal := settled.refusals.get(name)) is not None:
            _log_refusal(name, refusal)
        elif document is None:
            log.info("device_removed_remotely", device=name)
        else:
            log.info("device_configured_remotely", device=name, revision=document.revision)


def _log_refusal(name: str, refusal: Refusal) -> None:
    for mistake in refusal.mistakes:
        log.error("device_refused", device=name, mistake=mistake)
