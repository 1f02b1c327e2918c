"""What a node is to be: its file and the documents that came besides, checked together.

The file owns its devices: no document may replace them. A file with mistakes changes nothing, and
a document with mistakes changes nothing of its device. Knows no clock and no connection.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edge_node.config import check
from edge_node.configuration import Configuration
from edge_node.errors import ConfigurationRejected
from proto.control.device import Device

Judge = Callable[[Configuration], Sequence[str]]
"""Says what a document asks for that it may not have, given its device alone."""


@dataclass(frozen=True, slots=True)
class RemoteDevice:
    """One device as it came besides the file.

    Attributes:
        revision: whoever sent it calls it so; not compared.
        data: the device, unchecked.
    """

    revision: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that was not accepted.

    Attributes:
        mistakes: one line each.
        document: what was refused, ``None`` when it could not even be read.
    """

    mistakes: tuple[str, ...]
    document: RemoteDevice | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """A state of affairs that was checked; a new one is made of it, it is not changed.

    Attributes:
        configuration: of file and documents together.
        data: what the file says.
        documents: those that were accepted, by device.
        refusals: the latest document of a device, where it was refused.
    """

    configuration: Configuration
    data: Mapping[str, Any]
    documents: Mapping[str, RemoteDevice] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)

    def with_file(self, data: Mapping[str, Any], file: str, judge: Judge) -> "Desired":
        """Return what a file that is another now makes of it.

        Documents that do not go with the file any more are refused; those that were refused are
        tried again.

        Raises:
            ConfigurationRejected: every mistake of the file.
        """
        current = self.configuration
        alone = Desired(check(data, file, current), data, {}, self.refusals)
        again = {
            name: refusal.document
            for name, refusal in self.refusals.items()
            if refusal.document is not None
        }
        kept = _admit_all(alone, self.documents, judge, current) if self.documents else alone
        return _admit_all(kept, again, judge, current) if again else kept

    def with_documents(
        self, documents: Mapping[str, RemoteDevice | None], judge: Judge
    ) -> "Desired":
        """Return what documents make of it; ``None`` removes a device."""
        kept = {
            name: one
            for name, one in self.documents.items()
            if documents.get(name, one) is not None
        }
        refusals = {name: one for name, one in self.refusals.items() if name not in documents}
        news = {name: one for name, one in documents.items() if one is not None}
        before = Desired(self.configuration, self.data, kept, refusals)
        return _admit_all(before, news, judge, self.configuration)

    def settled(self) -> "Desired":
        """Return the same without what was needed for checking only; see ``Configuration``."""
        configuration = self.configuration.settled()
        own = _names_of(self.data)
        devices = [each for each in configuration.document.devices if each.name in own]
        return replace(self, configuration=configuration, data={**self.data, "devices": devices})

    def refuse(self, device: str, refusal: Refusal) -> "Desired":
        """Return the same with a document refused that could not even be read."""
        refusals = {**self.refusals, device: refusal}
        return Desired(self.configuration, self.data, self.documents, refusals)


def _admit_all(
    base: Desired, news: Mapping[str, RemoteDevice], judge: Judge, current: Configuration
) -> Desired:
    """Add documents to a sound base; those with mistakes are refused, and nothing else is."""
    owned = _names_of(base.data)
    refusals = dict(base.refusals)
    sound: list[tuple[str, RemoteDevice]] = []
    for name, document in news.items():
        mistakes = _judge_alone(base.data, name, document, judge, current, owned)
        if mistakes:
            refusals[name] = Refusal(mistakes, document)
        else:
            sound.append((name, document))
    admitted = _Admission(base.data, dict(base.documents), refusals, current)
    admitted.admit(sound)
    return Desired(admitted.configuration(), base.data, admitted.documents, refusals)


def _judge_alone(  # noqa: PLR0917  # one call
    data: Mapping[str, Any],
    name: str,
    document: RemoteDevice,
    judge: Judge,
    current: Configuration,
    owned: frozenset[object],
) -> tuple[str, ...]:
    """Return what is wrong with a document, whatever others say."""
    if name in owned:
        return (f"devices[{name}]: is in the node's file, which alone configures it",)
    found = document.data.get("name")
    if found != name:
        return (f"devices[{name}].name: found {found!r}, expected {name!r} as in the topic",)
    try:
        alone = check({**data, "devices": [document.data]}, None, current)
    except ConfigurationRejected as exc:
        return exc.mistakes
    return tuple(judge(alone))


def _names_of(data: Mapping[str, Any]) -> frozenset[object]:
    devices = data.get("devices")
    items = devices if isinstance(devices, list | tuple) else ()
    return frozenset(
        item.name if isinstance(item, Device) else item.get("name")
        for item in items
        if isinstance(item, Device | Mapping)
    )


class _Admission:
    """Documents on their way in: together where they go together, else the culprits are found."""

    def __init__(
        self,
        data: Mapping[str, Any],
        documents: dict[str, RemoteDevice],
        refusals: dict[str, Refusal],
        current: Configuration,
    ) -> None:
        self.documents = documents
        self._data = data
        self._refusals = refusals
        self._current = current
        self._checked: Configuration | None = None

    def admit(self, news: Sequence[tuple[str, RemoteDevice]]) -> None:
        """Add documents that are sound by themselves; halves those that clash until one is left."""
        together = {**self.documents, **dict(news)}
        try:
            self._checked = self._check(together)
        except ConfigurationRejected as exc:
            if not news:
                raise
            if len(news) == 1:
                [(name, document)] = news
                self._refusals[name] = Refusal(exc.mistakes, document)
                return
            half = len(news) // 2
            self.admit(news[:half])
            self.admit(news[half:])
            return
        self.documents = together
        for name, _ in news:
            self._refusals.pop(name, None)

    def configuration(self) -> Configuration:
        """Return what was admitted, checked together."""
        return self._checked or self._check(self.documents)

    def _check(self, documents: Mapping[str, RemoteDevice]) -> Configuration:
        remote = [document.data for document in documents.values()]
        own = self._data.get("devices")
        devices = [*(own if isinstance(own, list | tuple) else ()), *remote]
        return check({**self._data, "devices": devices}, None, self._current)
