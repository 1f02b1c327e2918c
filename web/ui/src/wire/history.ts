/** What the host tells of a metric's past. */

import type { Value } from "./messages";

export type SampleRow = readonly [atMs: number, value: Value, quality: number];

export type BucketRow = readonly [
  beginMs: number,
  min: Value,
  max: Value,
  avg: Value,
  last: Value,
  count: number,
];

export type Outage = readonly [sinceMs: number, untilMs: number, reason: string];

export interface PictureJson {
  /** Length of a bucket; null when the rows are samples. */
  readonly step_ms: number | null;
  readonly rows: readonly (SampleRow | BucketRow)[];
  /** What held when the time begins. */
  readonly before: SampleRow | null;
  /** When nobody could know the value. */
  readonly outages: readonly Outage[];
}
