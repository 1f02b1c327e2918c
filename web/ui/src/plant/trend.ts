/** A series as the columns a plot takes: times in s, values. */

import type { Series } from "./series";

/**
 * The samples from `fromMs` on, with the one before it, which still held then.
 *
 * `heldToMs` repeats the last value at that time: a value holds until the next report. Null when the
 * value is no longer known to hold.
 */
export function trendColumns(
  series: Series,
  fromMs: number,
  heldToMs: number | null,
): [times: number[], values: number[]] {
  const times: number[] = [];
  const values: number[] = [];
  for (let index = Math.max(0, series.indexAt(fromMs)); index < series.length; index += 1) {
    times.push(series.timeAt(index) / 1_000);
    values.push(series.valueAt(index));
  }
  const last = values.at(-1);
  if (last !== undefined && heldToMs !== null && heldToMs / 1_000 > (times.at(-1) ?? 0)) {
    times.push(heldToMs / 1_000);
    values.push(last);
  }
  return [times, values];
}
