/** Short messages about what the operator just did; they leave by themselves. */

import { shallowRef, type ShallowRef } from "vue";

export interface Toast {
  readonly id: number;
  readonly tone: "calm" | "alarm";
  readonly text: string;
}

/** A failure stays longer: it has a reason to be read. */
const STAY_MS = { calm: 5_000, alarm: 12_000 } as const;
const MOST = 4;

export class Toasts {
  readonly list: ShallowRef<readonly Toast[]> = shallowRef([]);
  private lastId = 0;

  show(tone: Toast["tone"], text: string): void {
    this.lastId += 1;
    const toast = { id: this.lastId, tone, text };
    this.list.value = [...this.list.value, toast].slice(-MOST);
    setTimeout(() => {
      this.dismiss(toast.id);
    }, STAY_MS[tone]);
  }

  dismiss(id: number): void {
    this.list.value = this.list.value.filter((toast) => toast.id !== id);
  }
}
