/** A metric's past, asked for when what is looked at changes, and again while it is followed live. */

import { onScopeDispose, shallowRef, watch, type ShallowRef } from "vue";

import type { Metric } from "../plant/model";
import type { PictureJson } from "../wire/history";
import { picture, Refused } from "../wire/rest";

/** What a plot shows: the newest part, moving on, or a fixed time. */
export type View =
  | { readonly kind: "live"; readonly spanMs: number }
  | { readonly kind: "fixed"; readonly fromMs: number; readonly toMs: number };

export function shownSpan(view: View, nowMs: number): { readonly fromMs: number; readonly toMs: number } {
  return view.kind === "fixed" ? view : { fromMs: nowMs - view.spanMs, toMs: nowMs };
}

export interface History {
  /** Null until the first answer, and where the history knows nothing of the metric. */
  readonly past: ShallowRef<PictureJson | null>;
  readonly loading: ShallowRef<boolean>;
  /** Why there is no history; empty when all is well. */
  readonly problem: ShallowRef<string>;
}

const REFRESH_MS = 30_000;
const POINTS_A_PIXEL = 4;

export function useHistory(
  metric: () => Metric,
  view: () => View,
  width: () => number,
  nowMs: () => number,
): History {
  const past = shallowRef<PictureJson | null>(null);
  const loading = shallowRef(false);
  const problem = shallowRef("");
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = 0;

  async function ask(): Promise<void> {
    clearTimeout(timer);
    const mine = (asked += 1);
    const shown = view();
    const { owner, name } = metric();
    const { fromMs, toMs } = shownSpan(shown, nowMs());
    const address = { group: owner.node.group, edge: owner.node.edge, device: owner.device, metric: name };
    const points = Math.min(8_000, Math.max(400, Math.round(width() * POINTS_A_PIXEL)));
    loading.value = true;
    try {
      const answer = await picture(address, fromMs, toMs, points);
      if (mine !== asked) return; // something else is looked at by now
      past.value = answer;
      problem.value = "";
    } catch (error) {
      if (mine !== asked) return;
      past.value = null;
      problem.value = describe(error);
    }
    loading.value = false;
    if (shown.kind === "live") timer = setTimeout(() => void ask(), REFRESH_MS);
  }

  watch(metric, () => {
    past.value = null;
  });
  watch([metric, view], () => void ask(), { immediate: true });
  onScopeDispose(() => {
    asked += 1;
    clearTimeout(timer);
  });
  return { past, loading, problem };
}

function describe(error: unknown): string {
  if (error instanceof Refused && error.status === 503) return `No history: ${error.message.replace(/^history: /, "")}`;
  return error instanceof Error ? error.message : String(error);
}
