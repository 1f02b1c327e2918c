"""Report by exception: which values of a poll are worth publishing (specification 2.5).

A column is compared with what was last reported of it. Knows neither names nor time's source.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge_node.drivers.base import QUALITY_BAD, QUALITY_GOOD, QUALITY_UNCERTAIN, RawValue


@dataclass(frozen=True, slots=True)
class ReportRule:
    """When a tag is reported, besides when its quality changes.

    Attributes:
        deadband: smallest change worth reporting, in engineering units; 0 is every change.
        max_silence_ms: an unchanged value is reported again after this long.
    """

    deadband: float = 0.0
    max_silence_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What one poll of a group has to tell.

    Attributes:
        timestamp_ms: when the values were read.
        indices: positions of the reported values in their group, ascending; with ``stamps`` in the
            order of the changes, where a tag may stand more than once.
        values: aligned with ``indices``; of a bad tag the last good value, ``None`` before any.
        qualities: index → quality, only where the quality is not what was last reported.
        moved: whether a value or quality changed; else it is told again for its silence alone.
        stamps: aligned with ``indices``: each value's own time and quality, ``None`` where the time
            of all is ``timestamp_ms``.

    A report never has a null but in the first poll of a connection, which goes into a birth: hosts
    are free to refuse null in data.
    """

    timestamp_ms: int
    indices: Sequence[int]
    values: Sequence[RawValue]
    qualities: Mapping[int, int]
    moved: bool = True
    stamps: Sequence[tuple[int, int]] | None = None


_NO_QUALITIES: Final[Mapping[int, int]] = {}
_NO_REASONS: Final[Mapping[int, str]] = {}
_UNREPORTED: Final = -1


class Reporter:
    """Remembers what was last reported of one poll group.

    Attributes:
        values: what was last reported, ``None`` before the first good value.
        qualities: what was last reported, -1 for nothing since the start or :meth:`restart`.
        timestamps_ms: when each value was last reported.
    """

    __slots__ = (
        "_any_bad",
        "_deadbands",
        "_forced",
        "_has_deadbands",
        "_silences",
        "qualities",
        "timestamps_ms",
        "values",
    )

    def __init__(self, rules: Sequence[ReportRule]) -> None:
        self.values: list[RawValue] = [None] * len(rules)
        self.qualities = [_UNREPORTED] * len(rules)
        self.timestamps_ms = [0] * len(rules)
        self._deadbands = [rule.deadband for rule in rules]
        self._has_deadbands = any(self._deadbands)
        self._silences = [
            (index, rule.max_silence_ms)
            for index, rule in enumerate(rules)
            if rule.max_silence_ms is not None
        ]
        self._any_bad = True
        self._forced: set[int] = set()

    def restart(self) -> None:
        """Have everything reported by the next poll: what was known is from before a loss."""
        self.qualities = [_UNREPORTED] * len(self.qualities)
        self._any_bad = True
        self._forced.clear()

    def force(self, index: int) -> None:
        """Have a tag reported by the next poll whether it changed or not."""
        self._forced.add(index)

    def report(
        self,
        timestamp_ms: int,
        values: list[RawValue],
        bad: Mapping[int, str],
        uncertain: Mapping[int, str] = _NO_REASONS,
        timestamps_ms: Sequence[int] | None = None,
    ) -> Report | None:
        """Compare one poll with what was last reported, and remember what is reported now.

        Args:
            timestamp_ms: when the values were read.
            values: engineering values; those of bad tags are ignored.
            bad: index → why the tag has no value.
            uncertain: index → why the tag's value is doubtful.
            timestamps_ms: when each value was acquired, where the device tells.

        Returns:
            What is worth publishing, ``None`` for nothing.
        """
        last = self.values
        if bad or uncertain or self._any_bad:
            report = self._report_qualities(timestamp_ms, values, bad, uncertain)
            return self._stamp(report, timestamps_ms)
        if values == last and not self._silences and not self._forced:
            return None
        changed = [i for i, (new, old) in enumerate(zip(values, last, strict=True)) if new != old]
        if changed:
            changed = self._filter(changed, values)
        moved = bool(changed)
        changed = self._add_due(changed, timestamp_ms, _NO_QUALITIES)
        if not changed:
            return None
        report = self._remember(timestamp_ms, changed, values, _NO_QUALITIES, moved=moved)
        return self._stamp(report, timestamps_ms)

    def report_changes(
        self,
        now_ms: int,
        changes: Iterable[tuple[int, RawValue, tuple[int, int]]],
    ) -> Report | None:
        """Compare what a subscription brought with what was last reported, and remember it.

        Args:
            now_ms: the current time, for what was silent too long.
            changes: index, engineering value, and its time and quality; oldest first.

        Returns:
            What is worth publishing, ``None`` for nothing.
        """
        last, qualities, times = self.values, self.qualities, self.timestamps_ms
        deadbands, forced = self._deadbands, self._forced
        indices: list[int] = []
        values: list[RawValue] = []
        stamps: list[tuple[int, int]] = []
        for i, new, stamp in changes:
            timestamp_ms, quality = stamp
            old = last[i]
            value = old if quality == QUALITY_BAD else new
            if quality == qualities[i] and not (forced and i in forced):
                if value == old or (value != value and old != old):  # noqa: PLR0124  # NaN
                    continue
                if (
                    deadbands[i]
                    and isinstance(value, int | float)
                    and isinstance(old, int | float)
                    and abs(value - old) < deadbands[i]
                ):
                    continue
            if quality != QUALITY_GOOD:
                self._any_bad = True
            qualities[i] = quality
            last[i] = value
            times[i] = timestamp_ms
            forced.discard(i)
            indices.append(i)
            values.append(value)
            stamps.append(stamp)
        for i, silence_ms in self._silences:
            if now_ms - times[i] >= silence_ms and last[i] is not None:
                times[i] = now_ms
                indices.append(i)
                values.append(last[i])
                stamps.append((now_ms, qualities[i]))
        return Report(now_ms, indices, values, _NO_QUALITIES, stamps=stamps) if indices else None

    def _stamp(self, report: Report | None, timestamps_ms: Sequence[int] | None) -> Report | None:
        """Give each value its own time, where the device tells it."""
        if report is None or timestamps_ms is None:
            return report
        for i in report.indices:
            self.timestamps_ms[i] = timestamps_ms[i]
        stamps = [(timestamps_ms[i], self.qualities[i]) for i in report.indices]
        return replace(report, stamps=stamps)

    def _report_qualities(
        self,
        timestamp_ms: int,
        values: list[RawValue],
        bad: Mapping[int, str],
        uncertain: Mapping[int, str],
    ) -> Report | None:
        """The same while something is, or was, bad."""
        now = [QUALITY_GOOD] * len(values)
        for index in uncertain:
            now[index] = QUALITY_UNCERTAIN
        for index in bad:
            now[index] = QUALITY_BAD
        last = self.values
        qualities = {
            i: new
            for i, (new, old) in enumerate(zip(now, self.qualities, strict=True))
            if new != old
        }
        # A tag that goes bad keeps its last good value: the quality says what it is worth.
        kept = [last[i] if i in bad else value for i, value in enumerate(values)]
        changed = [i for i, (new, old) in enumerate(zip(kept, last, strict=True)) if new != old]
        changed = self._filter(changed, kept)
        moved = bool(changed or qualities)
        changed = self._add_due(changed, timestamp_ms, qualities)
        self._any_bad = bool(bad or uncertain)
        if not changed:
            return None
        return self._remember(timestamp_ms, changed, kept, qualities, moved=moved)

    def _filter(self, changed: list[int], values: Sequence[RawValue]) -> list[int]:
        """Drop what stays within its deadband, and NaN that was NaN before."""
        last = self.values
        if not self._has_deadbands:
            return [i for i in changed if values[i] == values[i] or last[i] == last[i]]
        deadbands = self._deadbands
        kept: list[int] = []
        for i in changed:
            new, old = values[i], last[i]
            if isinstance(new, int | float) and isinstance(old, int | float):
                if new != new and old != old:  # noqa: PLR0124  # NaN, faster than math.isnan
                    continue
                if deadbands[i] and abs(new - old) < deadbands[i]:
                    continue
            kept.append(i)
        return kept

    def _add_due(
        self, changed: list[int], timestamp_ms: int, qualities: Mapping[int, int]
    ) -> list[int]:
        """Add what must be told although its value did not change."""
        due = [
            i
            for i, silence_ms in self._silences
            if timestamp_ms - self.timestamps_ms[i] >= silence_ms
        ]
        if not due and not self._forced and not qualities:
            return changed
        known = {i for i in (*due, *self._forced) if self.values[i] is not None}
        self._forced.clear()
        return sorted(known.union(changed, qualities))

    def _remember(
        self,
        timestamp_ms: int,
        changed: list[int],
        values: Sequence[RawValue],
        qualities: Mapping[int, int],
        *,
        moved: bool,
    ) -> Report:
        last, times = self.values, self.timestamps_ms
        reported = [values[i] for i in changed]
        for i, value in zip(changed, reported, strict=True):
            last[i] = value
            times[i] = timestamp_ms
        for i, quality in qualities.items():
            self.qualities[i] = quality
        return Report(timestamp_ms, changed, reported, qualities, moved)
