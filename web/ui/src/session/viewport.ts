/** The visible part of a scrolling element, read once per frame. */

import { onMounted, onScopeDispose, shallowRef, type ShallowRef } from "vue";

import type { Offsets } from "../plant/offsets";

const OVERSCAN_PX = 240;

export interface Viewport {
  readonly top: ShallowRef<number>;
  readonly height: ShallowRef<number>;
  /** First and last row to render, with some beyond the edges; nothing when the list is empty. */
  range(offsets: Offsets): { first: number; last: number };
  /** Scrolls no further than needed to have the row in view, below `inset` px of sticky header. */
  reveal(offsets: Offsets, index: number, inset?: number): void;
}

export function useViewport(scroller: ShallowRef<HTMLElement | null>): Viewport {
  const top = shallowRef(0);
  const height = shallowRef(0);
  let frame = 0;
  const read = (): void => {
    frame = 0;
    if (scroller.value === null) return;
    top.value = scroller.value.scrollTop;
    height.value = scroller.value.clientHeight;
  };
  const soon = (): void => {
    if (frame === 0) frame = window.requestAnimationFrame(read);
  };
  const observer = new ResizeObserver(soon);
  onMounted(() => {
    read();
    scroller.value?.addEventListener("scroll", soon, { passive: true });
    if (scroller.value !== null) observer.observe(scroller.value);
  });
  onScopeDispose(() => {
    observer.disconnect();
    window.cancelAnimationFrame(frame);
  });
  return {
    top,
    height,
    range(offsets) {
      if (offsets.count === 0) return { first: 0, last: -1 };
      return {
        first: offsets.at(top.value - OVERSCAN_PX),
        last: offsets.at(top.value + height.value + OVERSCAN_PX),
      };
    },
    reveal(offsets, index, inset = 0) {
      const element = scroller.value;
      if (element === null || index < 0 || index >= offsets.count) return;
      const rowTop = offsets.top(index);
      const rowBottom = offsets.top(index + 1) + inset;
      if (rowTop < element.scrollTop) element.scrollTop = rowTop;
      else if (rowBottom > element.scrollTop + element.clientHeight) {
        element.scrollTop = rowBottom - element.clientHeight;
      }
      read();
    },
  };
}
