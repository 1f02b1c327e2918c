/**
 * Gathers messages and applies them once per animation frame.
 *
 * A hidden tab gets no animation frames; there a timer drains the queue instead, so that it neither
 * grows nor leaves the picture old when the tab is shown again.
 */

const HIDDEN_INTERVAL_MS = 500;

export class FrameQueue<T> {
  private readonly apply: (batch: readonly T[]) => void;
  private waiting: T[] = [];
  private frame = 0;
  private timer = 0;

  constructor(apply: (batch: readonly T[]) => void) {
    this.apply = apply;
  }

  push(item: T): void {
    this.waiting.push(item);
    if (this.waiting.length > 1) return;
    const drain = (): void => {
      this.drain();
    };
    this.frame = window.requestAnimationFrame(drain);
    this.timer = window.setTimeout(drain, HIDDEN_INTERVAL_MS);
  }

  private drain(): void {
    window.cancelAnimationFrame(this.frame);
    window.clearTimeout(this.timer);
    const batch = this.waiting;
    this.waiting = [];
    this.apply(batch);
  }
}
