/**
 * A metric's recent course, kept in the browser: a bounded ring of (time, value).
 *
 * Knows nothing of drawing. Times are the source's, in ms, and never go backwards.
 */

const FIRST_CAPACITY = 16;

export class Series {
  private limit: number;
  private times = new Float64Array(FIRST_CAPACITY);
  private values = new Float64Array(FIRST_CAPACITY);
  private start = 0;
  length = 0;

  constructor(limit: number) {
    this.limit = Math.max(limit, FIRST_CAPACITY);
  }

  /** Appends; the same time replaces the last value, an earlier time is left out. */
  push(timeMs: number, value: number): void {
    if (this.length > 0) {
      const last = this.slot(this.length - 1);
      const lastTime = this.times[last] ?? 0;
      if (timeMs < lastTime) return;
      if (timeMs === lastTime) {
        this.values[last] = value;
        return;
      }
    }
    if (this.length === this.times.length) {
      if (this.length < this.limit) this.resize(Math.min(this.limit, this.length * 2));
      else {
        this.start = (this.start + 1) % this.times.length;
        this.length -= 1;
      }
    }
    const slot = this.slot(this.length);
    this.times[slot] = timeMs;
    this.values[slot] = value;
    this.length += 1;
  }

  timeAt(index: number): number {
    return this.times[this.slot(index)] ?? Number.NaN;
  }

  valueAt(index: number): number {
    return this.values[this.slot(index)] ?? Number.NaN;
  }

  /** Lets the series grow further; what it already holds stays. */
  extend(limit: number): void {
    this.limit = Math.max(this.limit, limit);
  }

  /** Index of the last sample at or before `timeMs`, −1 when there is none. */
  indexAt(timeMs: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.timeAt(middle) <= timeMs) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  private slot(index: number): number {
    return (this.start + index) % this.times.length;
  }

  private resize(capacity: number): void {
    const times = new Float64Array(capacity);
    const values = new Float64Array(capacity);
    for (let index = 0; index < this.length; index += 1) {
      times[index] = this.timeAt(index);
      values[index] = this.valueAt(index);
    }
    this.times = times;
    this.values = values;
    this.start = 0;
  }
}
