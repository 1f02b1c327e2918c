"""What every device has, whatever its driver: its name, its poll groups and its tags.

The same document stands in an edge node's TOML and travels as JSON.
"""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from proto.control.document import Document, SparkplugId, TagName
from proto.control.template import InstanceDocument

EnumerationName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class PollGroup(Document):
    """Tags that are read together, at one interval."""

    name: str = Field(min_length=1)
    """What tags name it by."""
    interval_s: float = Field(default=1.0, ge=0.05, le=86_400)
    """From one poll to the next."""
    max_interval_s: float | None = Field(default=None, ge=0.05, le=86_400)
    """The group adapts: while nothing changes, polls grow apart up to this; the first change brings
    ``interval_s`` back."""

    @model_validator(mode="after")
    def _check_pace(self) -> Self:
        if self.max_interval_s is not None and self.max_interval_s < self.interval_s:
            raise ValueError(
                f"max_interval_s is {self.max_interval_s:g}, expected at least interval_s,"
                f" {self.interval_s:g}"
            )
        return self


class Tag(Document):
    """What every tag has, whatever the driver."""

    name: TagName
    """The metric's name, unique in its device; ``/`` makes folders."""
    poll_group: str | None = None
    """Name of the poll group; the device's first when absent."""

    unit: str | None = None
    """Engineering unit, as UCUM or plain text: ``degC``, ``bar``, ``1/min``."""

    description: str | None = None
    """What it is, for people."""
    low: float | None = None
    """Lower end of the engineering range; a smaller written value is refused."""
    high: float | None = None
    """Upper end of the engineering range; a larger written value is refused."""

    out_of_range: Literal["keep", "clamp", "bad"] = "keep"
    """What becomes of a value that is read outside ``low`` … ``high``: it is published as it is, as
    the limit, or as no value, with bad quality."""

    writable: bool = False
    """Whether hosts may write it."""
    read_back: bool = False
    """What was written is read and compared before the write counts as done."""

    scale: float = 1.0
    """Engineering value = raw value * scale + offset."""
    offset: float = 0.0
    """See ``scale``."""

    deadband: float = Field(default=0.0, ge=0)
    """Smallest change worth reporting, in engineering units; 0 reports every change."""
    deadband_percent: float = Field(default=0.0, ge=0, le=100)
    """The same in percent of ``high - low``."""

    enumeration: dict[int, EnumerationName] = Field(default_factory=dict)
    """What the numbers of a state mean: ``{ 0 = "stopped", 1 = "running" }``. Writes take a name or
    one of the numbers, and nothing else."""
    enumeration_as: Literal["number", "text"] = "number"
    """The number is published, its meaning told once in births and ``_meta``; or the name is
    published, as text."""

    max_silence_s: float | None = Field(default=None, gt=0)
    """An unchanged value is reported again after this long."""

    @model_validator(mode="after")
    def _check_tag(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale is 0, every value would be the offset; expected another number")
        if self.read_back and not self.writable:
            raise ValueError("read_back is set, expected it for writable tags only")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}, expected low below high")
        if self.deadband and self.deadband_percent:
            raise ValueError("deadband and deadband_percent are both set, expected one of them")
        if self.out_of_range != "keep" and self.low is None and self.high is None:
            raise ValueError(f"out_of_range is {self.out_of_range!r}, expected low or high with it")
        if self.enumeration_as == "text" and not self.enumeration:
            raise ValueError("enumeration_as is 'text', expected an enumeration with it")
        if self.enumeration and (
            self.is_scaled or self.deadband or self.low is not None or self.high is not None
        ):
            raise ValueError(
                "enumeration does not go with scale, offset, deadband, low and high, found one of"
                " them"
            )
        if doubles := [n for n, count in Counter(self.enumeration.values()).items() if count > 1]:
            raise ValueError(f"enumeration has {', '.join(map(repr, doubles))} more than once")
        if self.deadband_percent and (self.low is None or self.high is None):
            raise ValueError("deadband_percent needs low and high, found none")
        return self

    @property
    def is_scaled(self) -> bool:
        """Whether the engineering value differs from the raw one."""
        return self.scale != 1.0 or self.offset != 0.0

    @property
    def absolute_deadband(self) -> float:
        """Smallest change worth reporting, in engineering units, however it was configured."""
        if self.deadband_percent and self.low is not None and self.high is not None:
            return (self.high - self.low) * self.deadband_percent / 100
        return self.deadband


class Device(Document):
    """What every device has, whatever the driver."""

    name: SparkplugId
    """Sparkplug device id, unique in its edge node."""
    enabled: bool = True
    """Whether it is polled and published."""
    uns_path: str | None = None
    """Path of the device below the node's own in the Unified Namespace; its name when absent."""

    poll_groups: tuple[PollGroup, ...] = Field(default=(PollGroup(name="default"),), min_length=1)
    """``[[devices.poll_groups]]``; one named ``default``, each second, where there is none."""
    instances: tuple[InstanceDocument, ...] = ()
    """Instances of the node's templates; their members become tags before this is checked."""


def check_tags(tags: tuple[Tag, ...], groups: tuple[PollGroup, ...]) -> None:
    """Refuse duplicate names and poll groups that are not there.

    Raises:
        ValueError: naming every offending tag.
    """
    mistakes = [
        f"tag {name!r} stands {n} times"
        for name, n in Counter(t.name for t in tags).items()
        if n > 1
    ]
    known = Counter(g.name for g in groups)
    mistakes += [f"poll group {name!r} stands {n} times" for name, n in known.items() if n > 1]
    mistakes += [
        f"tag {t.name!r}: poll group {t.poll_group!r} is not one of {', '.join(sorted(known))}"
        for t in tags
        if t.poll_group is not None and t.poll_group not in known
    ]
    longest = {g.name: g.max_interval_s or 0.0 for g in groups}
    mistakes += [
        f"tag {t.name!r}: max_silence_s is {t.max_silence_s:g}, but its poll group may rest for"
        f" {longest[group]:g} s"
        for t in tags
        if (group := t.poll_group or groups[0].name) in longest
        and t.max_silence_s is not None
        and t.max_silence_s < longest[group]
    ]
    if mistakes:
        raise ValueError("; ".join(mistakes))
