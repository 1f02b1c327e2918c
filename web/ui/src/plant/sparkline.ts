/**
 * The small course of a value as the path of an SVG.
 *
 * Drawn in steps: under report by exception a value holds until the next one comes, and a slanted
 * line between two reports would show a course that never was.
 */

import type { Series } from "./series";

export interface SparkBox {
  readonly width: number;
  readonly height: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** Until when the last value is known to hold; the line ends there. */
  readonly knownMs: number;
}

const PADDING = 2;

/** The path, or an empty string when nothing is known in the window. */
export function sparkPath(series: Series, box: SparkBox): string {
  const first = Math.max(0, series.indexAt(box.fromMs));
  let low = Infinity;
  let high = -Infinity;
  for (let index = first; index < series.length; index += 1) {
    const value = series.valueAt(index);
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return "";
  const span = high - low;
  const x = (timeMs: number): string => {
    const share = (timeMs - box.fromMs) / (box.toMs - box.fromMs);
    return (Math.min(1, Math.max(0, share)) * box.width).toFixed(1);
  };
  const y = (value: number): string => {
    const share = span === 0 ? 0.5 : (value - low) / span;
    return (box.height - PADDING - share * (box.height - 2 * PADDING)).toFixed(1);
  };
  let path = `M${x(series.timeAt(first))} ${y(series.valueAt(first))}`;
  for (let index = first + 1; index < series.length; index += 1) {
    path += `H${x(series.timeAt(index))}V${y(series.valueAt(index))}`;
  }
  return `${path}H${x(box.knownMs)}`;
}
