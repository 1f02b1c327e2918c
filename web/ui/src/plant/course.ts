/**
 * A metric's course as the columns a plot takes: the past from the history, then what the page has seen.
 *
 * A value holds until the next report. Where nobody knows it (bad quality, node or device offline), the
 * line is broken and the gap is named.
 */

import type { BucketRow, PictureJson, SampleRow } from "../wire/history";
import { numeric } from "./numbers";
import { formatQuality, GOOD } from "./quality";
import type { Series } from "./series";

export interface Gap {
  readonly fromMs: number;
  readonly toMs: number;
  readonly reason: string;
}

export interface Course {
  /** s */
  readonly times: number[];
  readonly line: (number | null)[];
  /** The least and greatest of each bucket; null where single samples are drawn. */
  readonly low: (number | null)[];
  readonly high: (number | null)[];
  readonly gaps: readonly Gap[];
}

const REASONS: Readonly<Record<string, string>> = {
  node_death: "Node offline",
  device_death: "Device offline",
};

/** What a cursor points at, in words. */
export interface Pointed {
  readonly time: string;
  /** What held, or why nobody knows. */
  readonly value: string;
  readonly isGap: boolean;
  /** Least to greatest of a bucket; empty for a sample. */
  readonly range: string;
}

class Builder {
  readonly times: number[] = [];
  readonly line: (number | null)[] = [];
  readonly low: (number | null)[] = [];
  readonly high: (number | null)[] = [];
  readonly gaps: Gap[] = [];
  private gapFromMs = 0;
  private gapReason = "";

  /** The value that holds; null in a gap and before the first. */
  get held(): number | null {
    return this.line.at(-1) ?? null;
  }

  get lastMs(): number {
    return (this.times.at(-1) ?? -Infinity) * 1_000;
  }

  push(timeMs: number, value: number, low: number | null = null, high: number | null = null): void {
    this.endGap(timeMs);
    this.add(timeMs, value, low, high);
  }

  pushGap(timeMs: number, reason: string): void {
    if (this.gapReason === reason) return;
    this.endGap(timeMs);
    this.gapFromMs = timeMs;
    this.gapReason = reason;
    this.add(timeMs, null, null, null);
  }

  endGap(timeMs: number): void {
    if (this.gapReason !== "" && timeMs > this.gapFromMs) {
      this.gaps.push({ fromMs: this.gapFromMs, toMs: timeMs, reason: this.gapReason });
    }
    this.gapReason = "";
  }

  private add(timeMs: number, value: number | null, low: number | null, high: number | null): void {
    this.times.push(timeMs / 1_000);
    this.line.push(value);
    this.low.push(low);
    this.high.push(high);
  }
}

interface Step {
  readonly timeMs: number;
  readonly apply: (to: Builder) => void;
}

function ofSample([timeMs, value, quality]: SampleRow, datatype: string): Step {
  // A picture has numbers for booleans too.
  const number = quality === GOOD ? numeric(value, typeof value === "number" ? "Double" : datatype) : null;
  return {
    timeMs,
    apply: (to) => {
      if (number === null) to.pushGap(timeMs, quality === GOOD ? "No value" : formatQuality(quality));
      else to.push(timeMs, number);
    },
  };
}

function ofBucket(row: BucketRow, stepMs: number, nextMs: number): Step[] {
  const [timeMs, min, max, avg, last] = row;
  // Buckets are figures of numbers, whatever the metric's own type is.
  const [low, high, mean, end] = [min, max, avg, last].map((value) => numeric(value, "Double"));
  const line = mean ?? end ?? null;
  if (line === null) return [{ timeMs, apply: (to) => { to.pushGap(timeMs, "Not good"); } }];
  const steps: Step[] = [
    { timeMs, apply: (to) => { to.push(timeMs, line, low ?? line, high ?? line); } },
  ];
  const endMs = timeMs + stepMs;
  // Nothing was reported for a while: what held last held on.
  if (nextMs > endMs + 1 && end !== null && end !== undefined) {
    steps.push({ timeMs: endMs, apply: (to) => { to.push(endMs, end, end, end); } });
  }
  return steps;
}

/** An outage breaks the line, unless what was sent afterwards fills it; then the value holds again. */
function ofOutage(sinceMs: number, untilMs: number, reason: string): Step[] {
  let before: number | null = null;
  let marked = 0;
  return [
    {
      timeMs: sinceMs,
      apply: (to) => {
        before = to.held;
        to.pushGap(sinceMs, REASONS[reason] ?? reason);
        marked = to.times.length;
      },
    },
    {
      timeMs: untilMs,
      apply: (to) => {
        if (to.times.length === marked && before !== null) to.push(untilMs, before);
      },
    },
  ];
}

/**
 * Draws the past and goes on with `seen` where that ends.
 *
 * @param fromMs - where the plot begins
 * @param toMs - where it ends
 * @param heldToMs - until when the last value is known to hold; null when it is not
 */
export function courseOf(
  past: PictureJson | null,
  seen: Series | null,
  datatype: string,
  fromMs: number,
  toMs: number,
  heldToMs: number | null,
): Course {
  const steps: Step[] = [];
  let pastEndMs = -Infinity;
  if (past !== null) {
    if (past.before !== null) {
      const [sinceMs, value, quality] = past.before;
      steps.push(ofSample([Math.max(sinceMs, fromMs), value, quality], datatype));
      pastEndMs = sinceMs;
    }
    past.rows.forEach((row, index) => {
      if (past.step_ms === null) steps.push(ofSample(row as SampleRow, datatype));
      else {
        const nextMs = past.rows[index + 1]?.[0] ?? Infinity;
        steps.push(...ofBucket(row as BucketRow, past.step_ms, nextMs));
      }
      pastEndMs = row[0] + (past.step_ms ?? 0);
    });
    for (const [sinceMs, untilMs, reason] of past.outages) steps.push(...ofOutage(sinceMs, untilMs, reason));
  }
  if (seen !== null) {
    // Of the time before the history's end, the history knows better.
    const first = pastEndMs === -Infinity ? Math.max(0, seen.indexAt(fromMs)) : seen.indexAt(pastEndMs) + 1;
    for (let index = first; index < seen.length; index += 1) {
      const timeMs = seen.timeAt(index);
      const value = seen.valueAt(index);
      steps.push({ timeMs, apply: (to) => { to.push(timeMs, value); } });
    }
  }
  const built = new Builder();
  // Sorting is stable: at one time, samples come before the outage that begins there.
  for (const step of steps.sort((one, other) => one.timeMs - other.timeMs)) step.apply(built);
  const { held } = built;
  if (held === null) built.endGap(toMs);
  else if (heldToMs !== null && heldToMs > built.lastMs) built.push(heldToMs, held);
  return built;
}

/** The gap at a time, if there is one. */
export function gapAt(course: Course, timeMs: number): Gap | null {
  return course.gaps.find(({ fromMs, toMs }) => timeMs >= fromMs && timeMs < toMs) ?? null;
}

/** Index of what holds at a time (s): the last point not after it; null before the first. */
export function heldIndex(course: Course, timeS: number): number | null {
  let low = 0;
  let high = course.times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((course.times[middle] ?? Infinity) <= timeS) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? null : low - 1;
}
