/** Where rows of different heights stand in a long list, and which of them are in view. */

export class Offsets {
  /** Tops of the rows; one more entry at the end is the total height. */
  private readonly tops: Float64Array;
  readonly count: number;

  constructor(count: number, height: (index: number) => number) {
    this.count = count;
    this.tops = new Float64Array(count + 1);
    let top = 0;
    for (let index = 0; index < count; index += 1) {
      this.tops[index] = top;
      top += height(index);
    }
    this.tops[count] = top;
  }

  get total(): number {
    return this.tops[this.count] ?? 0;
  }

  top(index: number): number {
    return this.tops[index] ?? 0;
  }

  /** The row at this height, held within the list. */
  at(y: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.top(middle + 1) <= y) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, Math.max(0, this.count - 1));
  }
}
