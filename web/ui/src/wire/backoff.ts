/** How long to wait before the next attempt to connect: doubling, bounded, jittered. */

export interface BackoffOptions {
  readonly firstMs: number;
  readonly limitMs: number;
  /** A number in [0, 1), so that many consoles do not return to a restarted host at once. */
  readonly random: () => number;
}

export class Backoff {
  private readonly options: BackoffOptions;
  private failures = 0;

  constructor(options: BackoffOptions) {
    this.options = options;
  }

  /** The wait in ms after one more failure, between half and all of the doubled step. */
  next(): number {
    const step = Math.min(this.options.limitMs, this.options.firstMs * 2 ** this.failures);
    this.failures += 1;
    return step * (0.5 + this.options.random() / 2);
  }

  /** A connection held: the next failure starts small again. */
  reset(): void {
    this.failures = 0;
  }
}
