/** Points per second over the last few seconds. The clock is an argument. */

export class RateMeter {
  private readonly windowMs: number;
  private readonly marks: { atMs: number; points: number }[] = [];
  private sum = 0;

  constructor(windowMs = 5_000) {
    this.windowMs = windowMs;
  }

  add(points: number, nowMs: number): void {
    this.marks.push({ atMs: nowMs, points });
    this.sum += points;
    this.forget(nowMs);
  }

  perSecond(nowMs: number): number {
    this.forget(nowMs);
    return (this.sum * 1_000) / this.windowMs;
  }

  private forget(nowMs: number): void {
    let first = this.marks[0];
    while (first !== undefined && first.atMs <= nowMs - this.windowMs) {
      this.sum -= first.points;
      this.marks.shift();
      first = this.marks[0];
    }
  }
}
