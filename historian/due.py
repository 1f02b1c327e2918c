"""Which buckets of which metrics have to be made, and which of them have ended. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

STEPS_MS: Final = (60_000, 900_000, 3_600_000, 86_400_000)
"""A minute, a quarter of an hour, an hour, a day."""
MOST_BUCKETS: Final = 1_500
"""Of one metric and step in one go; a longer past is made up piece by piece."""


class Span(NamedTuple):
    """Buckets of one metric, from the begin of one to the begin of another, milliseconds."""

    metric_id: int
    low_ms: int
    high_ms: int


def split_spans(spans: Iterable[Span], step_ms: int, until_ms: int) -> Iterator[Span]:
    """The buckets that times fall into and that ended before ``until_ms``: each once, in pieces."""
    joined: list[Span] = []
    for metric_id, low_ms, high_ms in sorted(spans):
        begin_ms = low_ms - low_ms % step_ms
        end_ms = min(until_ms, high_ms + step_ms)
        end_ms -= end_ms % step_ms
        if joined and joined[-1].metric_id == metric_id and begin_ms <= joined[-1].high_ms:
            end_ms = max(end_ms, joined[-1].high_ms)
            begin_ms = joined.pop().low_ms
        joined.append(Span(metric_id, begin_ms, end_ms))
    piece_ms = MOST_BUCKETS * step_ms
    for metric_id, begin_ms, end_ms in joined:
        for at_ms in range(begin_ms, end_ms, piece_ms):
            yield Span(metric_id, at_ms, min(at_ms + piece_ms, end_ms))


class DueBuckets:
    """What has changed since its buckets were made, step by step."""

    def __init__(self) -> None:
        self._since: dict[int, dict[int, int]] = {step: {} for step in STEPS_MS}
        self._newest: dict[int, int] = {}

    def touch(self, oldest: Mapping[int, int], newest_ms: int) -> None:
        """Take what arrived.

        Args:
            oldest: metric → time of its oldest sample, milliseconds.
            newest_ms: no sample is newer.
        """
        for step in STEPS_MS:
            self.touch_step(step, oldest, newest_ms)

    def touch_step(self, step_ms: int, oldest: Mapping[int, int], newest_ms: int) -> None:
        """The same for one step."""
        since, newest = self._since[step_ms], self._newest
        for metric_id, time_ms in oldest.items():
            if time_ms < since.get(metric_id, time_ms + 1):
                since[metric_id] = time_ms
            if newest_ms > newest.get(metric_id, 0):
                newest[metric_id] = newest_ms

    def take(self, step_ms: int, now_ms: int, limit: int) -> list[Span]:
        """Up to ``limit`` spans of buckets that have ended, to be made now."""
        end_ms = now_ms - now_ms % step_ms
        since = self._since[step_ms]
        spans = []
        for metric_id, time_ms in list(since.items()):
            low_ms = time_ms - time_ms % step_ms
            if low_ms >= end_ms:
                continue
            high_ms = min(end_ms, low_ms + MOST_BUCKETS * step_ms)
            spans.append(Span(metric_id, low_ms, high_ms))
            if self._newest[metric_id] >= high_ms:
                since[metric_id] = high_ms
            else:
                del since[metric_id]
            if len(spans) == limit:
                break
        return spans

    def give_back(self, step_ms: int, spans: Iterable[Span]) -> None:
        """Spans that could not be made are due again."""
        since = self._since[step_ms]
        for metric_id, low_ms, _ in spans:
            since[metric_id] = min(low_ms, since.get(metric_id, low_ms))
